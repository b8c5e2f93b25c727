"""What smart tools send -> prompts."""

from __future__ import annotations

from typing import Any

import pytest

from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.prompt_plan import likely_labels, prompt_targets
from backend.labelstudio.prompts import Prompts, read_prompts

MODEL_LABELS = ("car", "person", "traffic light")


def point(x: float, y: float, positive: bool = True, **more: Any) -> dict[str, Any]:
    value = {"x": x, "y": y, "width": 0.2, "labels": ["Car"], "keypointlabels": ["Car"]}
    return {
        "type": "keypointlabels", "from_name": "kp", "to_name": "image", "id": "a",
        "is_positive": positive, "value": value, "original_width": 200, "original_height": 100,
        **more,
    }  # fmt: skip


def box(rotation: float = 0, **more: Any) -> dict[str, Any]:
    value = {"x": 10, "y": 20, "width": 20, "height": 10, "rotation": rotation}
    return {
        "type": "rectanglelabels", "from_name": "rect", "to_name": "image", "id": "b",
        "value": {**value, "rectanglelabels": ["Person"]},
        "original_width": 200, "original_height": 100, **more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "context",
    [
        None, {}, [], "x", {"result": None}, {"result": []}, {"result": [None, 1, {}]},
        {"event": "prewarm"}, {"result": [point(1, 2, positive=False)]},
        {"result": [{**point(1, 2), "value": None}]}, {"result": [{**point(1, 2), "to_name": 3}]},
        {"result": [point(float("nan"), 2)]}, {"result": [{**box(), "value": {"x": 1}}]},
        {"result": [{**point(1, 2), "type": "brushlabels"}]},
    ],
)  # fmt: skip
def test_what_is_no_prompt(context: object) -> None:
    assert read_prompts(context) is None


def test_points_combine_and_the_last_label_counts() -> None:
    context = {"result": [point(1, 2), point(3, 4, positive=False), box()]}
    found = read_prompts(context)
    assert found == Prompts(
        "rect", "image", None, "Person", ((1, 2, True), (3, 4, False)), ((10, 20, 30, 30),)
    )


def test_prompts_on_other_images_are_left_aside() -> None:
    context = {"result": [point(1, 2, item_index=0), point(3, 4, item_index=1)]}
    found = read_prompts(context)
    assert found is not None
    assert (found.item_index, found.points) == (1, ((3, 4, True),))


def test_a_turned_rectangle_is_read_as_the_one_around_it() -> None:
    # 40 x 10 pixels at (20, 20), turned by 90 degrees: to the left and down.
    found = read_prompts({"result": [box(rotation=90)]})
    assert found is not None
    assert found.boxes[0] == pytest.approx((5, 20, 10, 60))


CONFIG = """<View><Image name="image" value="$image"/><Image name="other" value="$b"/>
<KeyPointLabels name="kp" toName="image" smart="true" {prompt}><Label value="Car"/></KeyPointLabels>
<RectangleLabels name="rect" toName="image"><Label value="Car"/><Label value="Tree"/>
</RectangleLabels>
<BrushLabels name="brush" toName="image"><Label value="Car"/><Label value="person"/></BrushLabels>
<PolygonLabels name="poly" toName="image"><Label value="person"/></PolygonLabels>
</View>"""


def targets(label: str | None, prompt: str = "", has_masks: bool = True) -> list[str | None]:
    """Control and label for each model label."""
    config = parse_label_config(CONFIG.format(prompt=prompt))
    prompts = Prompts("kp", "image", None, label, ((1, 2, True),), ())
    plan = prompt_targets(config, prompts, MODEL_LABELS, has_masks=has_masks)
    assert plan.is_empty == bool(plan.notes)
    return [f"{t[0].control.name} {t[0].tag.value}" if t else None for t in plan.targets]


def test_the_tools_label_wins_over_the_models() -> None:
    assert targets("Car") == ["brush Car"] * 3
    assert targets("person") == ["poly person"] * 3
    assert targets("Tree") == ["rect Tree"] * 3
    assert targets("Dog") == [None] * 3
    assert targets("Car", has_masks=False) == ["rect Car"] * 3


def test_the_models_label_wins_where_the_project_wants_it() -> None:
    wanted = 'prompt_label="model"'
    assert targets("Car", wanted) == ["brush Car", "poly person", None]
    assert targets(None) == ["brush Car", "poly person", None]


def test_the_answer_goes_into_the_control_that_is_named() -> None:
    assert targets("Car", 'prompt_control="rect"') == ["rect Car"] * 3
    assert targets("person", 'prompt_control="rect"') == [None] * 3


def test_odd_attributes_are_told() -> None:
    config = parse_label_config(CONFIG.format(prompt='prompt_label="mine" prompt_control="nope"'))
    assert len(config.notes) == 2
    assert "prompt_label" in config.notes[0]
    assert "prompt_control" in config.notes[1]


def test_the_model_labels_that_the_tool_may_mean() -> None:
    config = parse_label_config(CONFIG.format(prompt=""))
    for label, found in (("Car", {0}), ("person", {1}), ("Tree", set()), (None, set())):
        prompts = Prompts("kp", "image", None, label, ((1, 2, True),), ())
        assert likely_labels(config, prompts, MODEL_LABELS) == found
