"""The report's figures, from a few changes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from corrected import annotation, brush, polygon, prediction, task
from hypothesis import given
from hypothesis import strategies as st

from backend.bulk.selection import BLANK_VERSION
from backend.corrections.history import Source, tasks_of_row
from backend.corrections.report.changes import Change, TaskChanges, compare
from backend.corrections.report.confusions import confusions
from backend.corrections.report.figures import (
    by_label,
    by_score,
    by_version,
    reshaped_ious,
    summary,
)
from backend.corrections.report.report import collect
from backend.corrections.report.time_spent import LEAST_TASKS, spread_of, task_kind, time_spent
from backend.labelstudio.label_config import parse_label_config

START = datetime(2026, 11, 21, tzinfo=UTC)
KEPT = Change("kept", "car", "car", 0.9, 1.0)
RESHAPED = Change("reshaped", "car", "car", 0.8, 0.75, is_reshaped=True)
LOST = Change("reshaped", "car", "car", 0.55, 0.2, is_reshaped=True)
TO_BUS = Change("relabelled", "car", "bus", 0.7, 0.9, is_reshaped=True)
DELETED = Change("deleted", "car", None, 0.4)
ADDED = Change("added", None, "bus")
ALL = [KEPT, KEPT, RESHAPED, LOST, TO_BUS, DELETED, ADDED]


def done(
    *changes: Change, time_s: float | None = 10.0, began: str = "parent", day: int = 0,
    version: str = "v1",
) -> TaskChanges:  # fmt: skip
    """`began`: "parent", "current", "blank" or "none"."""
    return TaskChanges(
        1, 1, START + timedelta(days=day), began if began in ("parent", "current") else None,  # type: ignore[arg-type]
        version, began == "parent", began == "blank", time_s, 2, changes,
    )  # fmt: skip


def test_the_summary_of_nothing() -> None:
    found = summary([])
    assert (found["predicted"], found["final"], found["kept"]) == (0, 0, 0)
    assert (found["precision"], found["recall"], found["mean_iou"]) == (None, None, None)


def test_the_summary_counts_everything_once() -> None:
    found = summary(ALL)
    assert (found["predicted"], found["final"], found["right"]) == (6, 6, 3)
    names = ("kept", "reshaped", "relabelled", "deleted", "added")
    assert [found[name] for name in names] == [2, 2, 1, 1, 1]
    assert (found["precision"], found["recall"]) == (0.5, 0.5)
    assert found["kept_share"] == pytest.approx(2 / 6)
    assert found["mean_iou"] == pytest.approx((1 + 1 + 0.75 + 0.2) / 4)


def test_by_label_what_was_relabelled_counts_for_both() -> None:
    car, bus = by_label(ALL)
    assert (car["label"], car["predicted"], car["final"], car["relabelled_to"]) == ("car", 6, 4, 0)
    assert (car["relabelled"], car["deleted"], car["added"]) == (1, 1, 0)
    assert (bus["label"], bus["predicted"], bus["final"], bus["relabelled_to"]) == ("bus", 0, 2, 1)
    assert (bus["relabelled"], bus["added"], bus["precision"], bus["recall"]) == (0, 1, None, 0.0)
    assert by_label([]) == []


changes = st.builds(
    lambda fate, one, other, iou: Change(
        "relabelled" if fate == "kept" and one != other else fate,
        None if fate == "added" else one,
        None if fate == "deleted" else (one if fate == "reshaped" else other),
        0.5,
        iou if fate in ("kept", "reshaped") else None,
    ),
    st.sampled_from(["kept", "reshaped", "deleted", "added"]),
    st.sampled_from("abc"), st.sampled_from("abc"), st.floats(0, 1),
)  # fmt: skip


@given(st.lists(changes, max_size=30))
def test_labels_add_up_to_the_total(found: list[Change]) -> None:
    rows, total = by_label(found), summary(found)
    for name in (
        "predicted",
        "final",
        "kept",
        "reshaped",
        "relabelled",
        "deleted",
        "added",
        "right",
    ):
        assert sum(row[name] for row in rows) == total[name]
    assert sum(row["relabelled_to"] for row in rows) == total["relabelled"]
    for row in rows:
        gone = row["relabelled"] + row["deleted"]
        assert row["predicted"] == row["kept"] + row["reshaped"] + gone
        came = row["relabelled_to"] + row["added"]
        assert row["final"] == row["kept"] + row["reshaped"] + came


def test_the_overlap_of_what_was_reshaped() -> None:
    assert reshaped_ious([])["median"] is None
    assert reshaped_ious([RESHAPED])["median"] == 0.75
    found = reshaped_ious([RESHAPED, LOST, KEPT, TO_BUS])
    assert (found["number"], sum(found["counts"])) == (2, 2)
    assert found["counts"][15] == found["counts"][4] == 1
    assert found["median"] == pytest.approx((0.75 + 0.2) / 2)


def test_bands_of_score() -> None:
    rows = by_score([*ALL, replace(KEPT, score=1.0), replace(KEPT, score=None)])
    assert [(row["low"], row["predicted"]) for row in rows] == [
        (0.4, 1), (0.5, 1), (0.7, 1), (0.8, 1), (0.9, 3),
    ]  # fmt: skip
    assert [row["precision"] for row in rows] == [0, 0, 0, 1, 1]
    # Of 8 final ones, those right and with a score from there on.
    assert [row["recall_from_here"] for row in rows] == [4 / 8, 4 / 8, 4 / 8, 4 / 8, 3 / 8]
    assert by_score([ADDED]) == []


def test_versions_stand_in_the_order_of_their_first_annotation() -> None:
    tasks = [
        done(KEPT, version="new", day=5, time_s=20), done(DELETED, version="old", day=1),
        done(KEPT, version="old", day=2), done(KEPT, began="blank", version=""),
        done(KEPT, version="new", day=6, began="current", time_s=99),
    ]  # fmt: skip
    old, new = by_version(tasks)
    assert (old["model_version"], old["tasks"], old["kept"], old["precision"]) == ("old", 2, 1, 0.5)
    assert (new["model_version"], new["tasks"], new["time"]["median_s"]) == ("new", 2, 20)
    assert (new["first"][:10], new["last"][:10]) == ("2026-11-26", "2026-11-27")


@pytest.mark.parametrize(("score", "low"), [(-0.2, 0.0), (87.0, 0.9)])
def test_a_score_beyond_0_and_1_counts_in_the_nearest_band(score: float, low: float) -> None:
    (row,) = by_score([replace(KEPT, score=score)])
    assert (row["low"], row["predicted"]) == (low, 1)


def test_times_that_are_not_known_do_not_count() -> None:
    assert spread_of([])["median_s"] is None
    found = spread_of([None, 0.0, 4.0])
    assert (found["tasks"], found["median_s"], found["sum_s"]) == (1, 4.0, 4.0)
    assert found["lower_quartile_s"] is None
    found = spread_of([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found["lower_quartile_s"], found["median_s"], found["upper_quartile_s"]) == (2, 3, 4)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ([], "only_kept"), ([KEPT], "only_kept"), ([KEPT, TO_BUS], "edited"), ([DELETED], "edited"),
        ([RESHAPED], "edited"), ([ADDED], "added"), ([DELETED, ADDED], "added"),
    ],
)  # fmt: skip
def test_a_task_is_of_one_kind(made: list[Change], kind: str) -> None:
    assert task_kind(done(*made)) == kind


@pytest.mark.parametrize("source", [None, "current"])
def test_of_what_kind_a_task_was_is_not_known_without_its_prediction(source: Source | None) -> None:
    gone = replace(done(), source=source)
    groups = time_spent([gone, done(KEPT, time_s=30)])["groups"]
    assert {name: group["tasks"] for name, group in groups.items()} == {
        "pre_annotated": 2, "only_kept": 1, "edited": 0, "added": 0, "not_known": 1,
        "left_blank": 0, "other": 0,
    }  # fmt: skip


def test_groups_of_time() -> None:
    tasks = [
        done(KEPT, time_s=10), done(DELETED, time_s=20), done(ADDED, time_s=40),
        done(time_s=100, began="blank"), done(time_s=None, began="blank"),
        done(time_s=5, began="none"), done(KEPT, time_s=7, began="current"),
    ]  # fmt: skip
    found = time_spent(tasks)
    groups = found["groups"]
    assert {name: (group["tasks"], group["median_s"]) for name, group in groups.items()} == {
        "pre_annotated": (3, 20), "only_kept": (1, 10), "edited": (1, 20), "added": (1, 40),
        "not_known": (0, None),
        "left_blank": (1, 100), "other": (2, 6),
    }  # fmt: skip
    assert groups["left_blank"]["without_time"] == 1
    assert groups["only_kept"]["median_s_an_instance"] == 5
    # 20 of 100 seconds; too few tasks to say more.
    assert found["saved"]["share"] == pytest.approx(0.8)
    assert found["saved"]["low"] is None


@pytest.mark.parametrize("began", ["parent", "blank", "none"])
def test_nothing_is_saved_where_a_group_is_missing(began: str) -> None:
    assert time_spent([done(began=began)])["saved"] is None


def groups(with_it_s: list[float], without_s: list[float]) -> dict[str, Any]:
    began = [done(time_s=time_s) for time_s in with_it_s]
    blank = [done(time_s=time_s, began="blank") for time_s in without_s]
    found = time_spent([*began, *blank])["saved"]
    assert isinstance(found, dict)
    return found


def test_the_interval_contains_no_gain_where_there_is_none() -> None:
    times_s = [float(10 + i) for i in range(3 * LEAST_TASKS)]
    saved = groups(times_s, times_s)
    assert saved["share"] == 0
    assert saved["low"] < 0 < saved["high"]


def test_the_interval_is_clear_of_nothing_where_the_gain_is_large() -> None:
    saved = groups([float(10 + i % 3) for i in range(40)], [float(30 + i % 5) for i in range(40)])
    assert 0.6 < saved["low"] <= saved["share"] <= saved["high"] < 0.7
    assert groups([10.0] * 9, [30.0] * 40)["low"] is None
    assert groups([10.0] * 10, [30.0] * 10)["low"] == pytest.approx(2 / 3)


CONFIG = parse_label_config(
    """<View><Image name="image" value="$image"/><PolygonLabels name="shape" toName="image">
    <Label value="car"/><Label value="bus" predicted_values="coach"/>
    <Label value="lorry" predicted_values="truck,trailer"/></PolygonLabels>
    <BrushLabels name="paint" toName="image"><Label value="sky"/></BrushLabels></View>"""
)


def relabelled(one: str, other: str, number: int) -> list[Change]:
    return number * [Change("relabelled", one, other, 0.5, 1.0)]


def test_no_confusion() -> None:
    assert confusions([], CONFIG) == []
    assert confusions([KEPT, DELETED, ADDED], CONFIG) == []


def test_a_confusion_that_the_config_can_mend() -> None:
    (row,) = confusions([*relabelled("car", "bus", 6), KEPT, RESHAPED, DELETED], CONFIG)
    assert (row["predicted"], row["final"], row["number"], row["of"]) == ("car", "bus", 6, 8)
    assert row["share"] == 0.75
    assert (row["control"], row["label"], row["predicted_values"]) == ("shape", "bus", "coach,car")
    assert '<Label value="bus" predicted_values="coach,car"/>' in row["suggestion"]
    assert "6 of these right" in row["suggestion"]
    assert "2 wrong" in row["suggestion"]


def test_the_suggestion_does_what_it_says() -> None:
    (row,) = confusions(relabelled("car", "bus", 6), CONFIG)
    xml = (
        '<View><Image name="image" value="$image"/><PolygonLabels name="shape" toName="image">'
        f'<Label value="car"/><Label value="bus" predicted_values="{row["predicted_values"]}"/>'
        "</PolygonLabels></View>"
    )
    from backend.labelstudio.label_config import map_labels

    (control,) = parse_label_config(xml).controls
    (targets,) = map_labels(control, ("car",)).targets
    assert [tag.value for tag in targets] == ["bus"]


def test_a_suggestion_is_xml_that_can_be_pasted() -> None:
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><PolygonLabels name="shape" toName="image">'
        '<Label value="A &amp; &quot;B&quot;"/><Label value="a &lt; b"/></PolygonLabels></View>'
    )
    (row,) = confusions(relabelled("a < b", 'A & "B"', 6), config)
    tag = ElementTree.fromstring(row["suggestion"].partition("/>")[0] + "/>")
    assert tag.attrib == {"value": 'A & "B"', "predicted_values": "a < b"}
    assert row["predicted_values"] == "a < b"


def test_a_name_with_a_comma_cannot_be_mapped() -> None:
    config = parse_label_config(
        '<View><Image name="image" value="$image"/><PolygonLabels name="shape" toName="image">'
        '<Label value="car"/><Label value="bus, coach"/></PolygonLabels></View>'
    )
    (row,) = confusions(relabelled("bus, coach", "car", 6), config)
    assert "predicted_values" not in row
    assert "'bus, coach' has a comma" in row["suggestion"]


def test_a_confusion_that_the_config_would_make_worse() -> None:
    (row,) = confusions([*relabelled("car", "bus", 3), *(4 * [KEPT])], CONFIG)
    assert "predicted_values" not in row
    assert "4 to 3" in row["suggestion"]


def test_a_label_that_collects_several_of_the_models() -> None:
    (row,) = confusions(relabelled("lorry", "car", 5), CONFIG)
    assert row["predicted_values"] == "truck,trailer"
    assert "does not say which" in row["suggestion"]


def test_labels_of_different_controls_are_not_mapped() -> None:
    (row,) = confusions(relabelled("car", "sky", 5), CONFIG)
    assert "not labels of one control" in row["suggestion"]


def test_few_or_small_ones_are_left_out() -> None:
    assert confusions(relabelled("car", "bus", 2), CONFIG) == []
    many = [*relabelled("car", "bus", 3), *(40 * [KEPT])]
    assert confusions(many, CONFIG) == []
    assert len(confusions(many, CONFIG, least_share=0.05)) == 1


CAR = polygon("0-0", 0, 0, 20, 20, score=0.9)


def test_an_annotation_is_compared_with_its_prediction() -> None:
    (row,) = tasks_of_row(
        task(4, [annotation(1, brush("n", 0, 0, 20, 16), CAR | {"id": "z", "type": "bitmask"},
                            parent=2)], [prediction(2, CAR, version="v7")])
    )  # fmt: skip
    found, matching = compare(row)
    assert (found.task_id, found.model_version, found.source) == (4, "v7", "parent")
    (change,) = found.changes
    assert (change.fate, change.score, change.iou) == ("reshaped", 0.9, pytest.approx(0.8))
    assert found.effort == pytest.approx(0.2)
    assert (found.instances, len(found.unread), len(matching.pairs)) == (1, 1, 1)


def test_without_a_prediction_nothing_is_compared() -> None:
    blank = prediction(2, version=BLANK_VERSION)
    (row,) = tasks_of_row(task(4, [annotation(1, CAR, parent=2)], [blank]))
    found, matching = compare(row)
    assert (found.changes, found.source, found.began_blank, found.instances) == ((), None, True, 1)
    assert matching.pairs == ()


def test_the_worst_tasks_are_kept_in_full() -> None:
    rows = []
    for number in range(1, 6):
        drawn = [polygon(f"x{i}", 25 * i, 0, 20, 20) for i in range(1, number % 4)]
        rows += tasks_of_row(
            task(number, [annotation(number, CAR, *drawn, parent=1)], [prediction(1, CAR)])
        )
    found = collect(rows, examples=2)
    assert len(found.tasks) == 5
    assert [example.task.task_id for example in found.worst] == [3, 2]
    assert collect(rows).worst == []
    assert collect([], examples=2).worst == []
