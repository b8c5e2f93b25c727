"""Label configs and label mapping."""

from __future__ import annotations

import pytest

from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import (
    map_labels,
    normalise,
    parse_label_config,
    smart_only_controls,
)
from backend.labelstudio.region_plan import Thresholds, plan_regions
from backend.runtime.errors import LabelConfigError

IMAGE = '<Image name="image" value="$image"/>'
MODEL = ("person", "car", "traffic light", "truck")
HALF = Thresholds(model=0.5)


def config(inner: str, image: str = IMAGE) -> str:
    return f"<View>{image}{inner}</View>"


def labels(*tags: str, control: str = "PolygonLabels", attributes: str = "") -> str:
    inner = "".join(f"<Label {tag}/>" for tag in tags)
    return f'<{control} name="c" toName="image" {attributes}>{inner}</{control}>'


def targets(*tags: str) -> dict[str, list[str]]:
    (control,) = parse_label_config(config(labels(*tags))).controls
    mapping = map_labels(control, MODEL)
    return {
        name: [tag.value for tag in mapping.targets[i]]
        for i, name in enumerate(MODEL)
        if mapping.targets[i]
    }


@pytest.mark.parametrize(
    ("xml", "reason"),
    [
        ("", "not well-formed"),
        ("<View>", "not well-formed"),
        ("<View></View>", "no <Image"),
        (config(""), "no PolygonLabels"),
        (config('<Choices name="c" toName="image"/>'), "no PolygonLabels"),
        (config('<Polygon name="p" toName="image"/>'), "no usable <Labels>"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><View>&a;</View>', "not well-formed"),
        ("x" * 2_000_001, "longer than"),
    ],
)
def test_refused(xml: str, reason: str) -> None:
    with pytest.raises(LabelConfigError, match=reason):
        parse_label_config(xml)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        (('value="Dog"',), {}),
        (('value="car"',), {"car": ["car"]}),
        (('value="Traffic_Light"',), {"traffic light": ["Traffic_Light"]}),
        # exact before normalised
        (('value="Car"', 'value="car"'), {"car": ["car"]}),
        # predicted_values before both; the Label still claims its own name
        (
            ('value="Vehicle" predicted_values="car, truck"', 'value="truck"'),
            {"car": ["Vehicle"], "truck": ["Vehicle"]},
        ),
        (
            ('value="Car" predicted_values="truck"', 'value="Person"'),
            {"person": ["Person"], "car": ["Car"], "truck": ["Car"]},
        ),
        # several claimants give one region each
        (
            ('value="A" predicted_values="car"', 'value="B" predicted_values="CAR"'),
            {"car": ["A", "B"]},
        ),
    ],
)
def test_mapping(tags: tuple[str, ...], wanted: dict[str, list[str]]) -> None:
    assert targets(*tags) == wanted


def test_normalise() -> None:
    assert normalise("Traffic-Light_2 b") == "trafficlight2b"


def test_pairs_lists_and_skips() -> None:
    parsed = parse_label_config(
        config(
            '<Labels name="l" toName="image"><Label value="car"/></Labels>'
            '<Brush name="b" toName="image"/><Rectangle name="r" toName="image" model_skip="yes"/>'
            '<!-- a comment --><KeyPointLabels name="k" toName="image"><Label value="x"/>'
            "</KeyPointLabels>",
            '<Image name="image" valueList="$images"/>',
        )
    )
    (control,) = parsed.controls
    assert (control.name, control.kind, control.labels_name, control.result_type) == (
        "b",
        "brush",
        "l",
        "brush",
    )
    assert parsed.images[0].is_list
    assert parsed.notes == ("'r' is left out (model_skip).",)


def test_an_alias_is_what_is_written() -> None:
    (control,) = parse_label_config(config(labels('value="Human" alias="person"'))).controls
    (tag,) = map_labels(control, MODEL).targets[0]
    assert tag.written == "person"
    (control,) = parse_label_config(config(labels('value="car" alias="K"'))).controls
    assert [t.written for t in map_labels(control, MODEL).targets[1]] == ["K"]


def test_a_label_that_stands_twice_is_one_label() -> None:
    assert targets('value="car"', 'value="car"') == {"car": ["car"]}


@pytest.mark.parametrize(
    ("extra", "note"),
    [
        ('<BrushLabels name="b" toName="imgae"><Label value="car"/></BrushLabels>', "'imgae'"),
        ('<Image name="two" value="$images[0]"/>', "'two' is left out"),
        ('<Image name="two" value="images[{{idx}}].url"/>', "'two' is left out"),
        ('<Brush name="b" toName="image"/>', "no usable <Labels>"),
        ('<Labels toName="image"><Label value="car"/></Labels><Brush name="b" toName="image"/>',
         "no usable <Labels>"),
        ('<Labels name="l" toName="image"/><Labels name="m" toName="image"/>', "'m' is left out"),
    ],
)  # fmt: skip
def test_what_is_left_aside_is_noted(extra: str, note: str) -> None:
    parsed = parse_label_config(config(labels('value="car"') + extra))
    assert [control.name for control in parsed.controls] == ["c"]
    assert any(note in said for said in parsed.notes)


def test_a_control_of_two_images_serves_both() -> None:
    images = IMAGE + '<Image name="b" value="$b"/>'
    inner = labels('value="car"').replace('toName="image"', 'toName="image,b"')
    parsed = parse_label_config(config(inner, images))
    assert [control.to_name for control in parsed.controls] == ["image", "b"]


def test_a_bad_new_threshold_does_not_hide_the_old_one() -> None:
    tag = 'value="car" model_score_threshold="x" score_threshold="0.3"'
    parsed = parse_label_config(config(labels(tag)))
    assert parsed.controls[0].labels[0].score_threshold == 0.3


def test_thresholds_by_where_they_come_from() -> None:
    xml = config(
        labels('value="car" model_score_threshold="0.9"', 'value="person"', control="PolygonLabels",
               attributes='score_threshold="0.7"')
    )  # fmt: skip
    (control,) = parse_label_config(xml).controls
    car, person = control.labels
    low = Thresholds(model=0.5, settings=0.4, tuned={"person": 0.3})
    assert low.of(control, car, "car") == 0.9
    assert low.of(control, person, "person") == 0.7
    assert Thresholds(model=0.5, command_line=0.1).of(control, car, "car") == 0.1
    (plain,) = parse_label_config(config(labels('value="car"'))).controls
    tag = plain.labels[0]
    assert low.of(plain, tag, "person") == 0.3
    assert low.of(plain, tag, "car") == 0.4
    assert HALF.of(plain, tag, "car") == 0.5


@pytest.mark.parametrize("text", ["high", "2", "nan", "-1"])
def test_a_bad_number_is_noted_and_ignored(text: str) -> None:
    parsed = parse_label_config(config(labels(f'value="car" model_score_threshold="{text}"')))
    assert parsed.controls[0].labels[0].score_threshold is None
    assert "not a number within 0..1" in parsed.notes[0]


ALL = config(
    '<PolygonLabels name="p" toName="image"><Label value="car"/></PolygonLabels>'
    '<BrushLabels name="b" toName="image"><Label value="car"/><Label value="person"/></BrushLabels>'
    '<RectangleLabels name="r" toName="image"><Label value="car"/></RectangleLabels>'
)


@pytest.mark.parametrize(
    ("choice", "car", "person"),
    [
        ("auto", ["p", "r"], ["b"]),
        ("all", ["p", "b", "r"], ["b"]),
        ("brush", ["b"], ["b"]),
        ("rectangle", ["r"], []),
    ],
)
def test_choice_of_controls(choice: str, car: list[str], person: list[str]) -> None:
    parsed = parse_label_config(ALL)
    plan = plan_regions(
        parsed,
        "image",
        MODEL,
        has_masks=True,
        thresholds=HALF,
        choice=choice,  # type: ignore[arg-type]
    )
    assert [t.control.name for t in plan.targets[1]] == car
    assert [t.control.name for t in plan.targets[0]] == person


def test_a_detector_gives_rectangles_only_and_says_so() -> None:
    plan = plan_regions(
        parse_label_config(ALL), "image", MODEL, has_masks=False, thresholds=HALF, choice="all"
    )
    assert [t.control.name for t in plan.targets[1]] == ["r"]
    assert any("without masks" in note for note in plan.notes)


def test_nothing_matches_is_said() -> None:
    parsed = parse_label_config(config(labels('value="Zebra crossing"')))
    plan = plan_regions(parsed, "image", MODEL, has_masks=True, thresholds=HALF)
    assert plan.is_empty
    assert any("'Zebra crossing'" in note for note in plan.notes)
    assert any("No label" in note for note in plan.notes)


def test_controls_that_only_prompt_get_no_regions() -> None:
    config = parse_label_config(
        '<View><Image name="i" value="$i"/>'
        '<RectangleLabels name="box" toName="i" smart="true" smartOnly="true"><Label value="a"/>'
        '</RectangleLabels><PolygonLabels name="p" toName="i" smart="true"><Label value="a"/>'
        "</PolygonLabels></View>"
    )
    assert [control.name for control in config.controls] == ["p"]
    assert config.notes == ()


def test_controls_for_prompts_alone() -> None:
    xml = write_label_config(("car",), ("polygon",), ((1, 2, 3),), smart_tools=("point", "box"))
    assert smart_only_controls(xml) == {"point", "box"}
    assert smart_only_controls("<View><KeyPointLabels name='a' smart='true'/></View>") == set()
    with pytest.raises(LabelConfigError, match="not well-formed"):
        smart_only_controls("<View>")
