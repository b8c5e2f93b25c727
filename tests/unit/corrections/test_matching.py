"""Predicted and final instances, one to one."""

from __future__ import annotations

import pytest
from corrected import Row, brush, polygon, rectangle
from hypothesis import given
from hypothesis import strategies as st

from backend.corrections.instances import read_instances
from backend.corrections.matching import FATES, Matching, match_instances


def match(predicted: list[Row], final: list[Row], *, same_ids: bool = True) -> Matching:
    return match_instances(
        read_instances(predicted).instances, read_instances(final).instances, same_ids=same_ids
    )


def fates(matching: Matching) -> list[str]:
    return [pair.fate for pair in matching.pairs]


CAR = polygon("0-0", 10, 10, 20, 20)


def test_nothing_on_both_sides() -> None:
    assert match([], []).pairs == ()
    assert match([], []).counts == dict.fromkeys(FATES, 0)


def test_a_side_alone() -> None:
    assert fates(match([CAR], [])) == ["deleted"]
    assert fates(match([], [CAR])) == ["added"]


@pytest.mark.parametrize(
    ("final", "fate", "iou"),
    [
        (polygon("0-0", 10, 10, 20, 20), "kept", 1.0),
        (polygon("0-0", 10, 10, 20, 16), "reshaped", 0.8),
        (polygon("0-0", 10, 10, 20, 20, "bus"), "relabelled", 1.0),
        (polygon("0-0", 60, 10, 20, 20), "reshaped", 0.0),
    ],
)
def test_what_became_of_a_region_of_the_same_id(final: Row, fate: str, iou: float) -> None:
    (pair,) = match([CAR], [final]).pairs
    assert (pair.fate, pair.by_id) == (fate, True)
    assert pair.iou == pytest.approx(iou)


def test_a_relabelled_region_may_be_reshaped_too() -> None:
    (pair,) = match([CAR], [polygon("0-0", 10, 10, 20, 16, "bus")]).pairs
    assert (pair.fate, pair.is_reshaped) == ("relabelled", True)


@pytest.mark.parametrize(
    ("final", "fate", "iou"),
    [
        (brush("n", 10, 10, 20, 20), "kept", 1.0),
        (brush("n", 10, 10, 20, 16), "reshaped", 0.8),
        (brush("n", 10, 10, 20, 16, "bus"), "relabelled", 0.8),
        (rectangle("n", 10, 10, 20, 16), "reshaped", 0.8),
    ],
)
def test_what_was_drawn_anew_is_found_by_overlap(final: Row, fate: str, iou: float) -> None:
    (pair,) = match([CAR], [final]).pairs
    assert (pair.fate, pair.by_id) == (fate, False)
    assert pair.iou == pytest.approx(iou)


def test_little_overlap_is_something_else() -> None:
    assert fates(match([CAR], [brush("n", 10, 10, 20, 8)])) == ["deleted", "added"]


def test_ids_mean_nothing_where_the_annotation_began_otherwise() -> None:
    final = [polygon("0-0", 60, 10, 20, 20)]
    assert fates(match([CAR], final, same_ids=False)) == ["deleted", "added"]
    assert fates(match([CAR], final)) == ["reshaped"]


def test_the_same_label_goes_first() -> None:
    final = [polygon("n", 10, 10, 20, 20, "bus"), polygon("m", 10, 10, 20, 16)]
    first, second = match([CAR], final).pairs
    assert (first.fate, first.iou) == ("reshaped", pytest.approx(0.8))
    assert (second.fate, second.label) == ("added", "bus")


def test_the_better_overlap_goes_first() -> None:
    predicted = [polygon("0-0", 10, 10, 20, 20), polygon("1-0", 10, 10, 20, 18)]
    first, second = match(predicted, [brush("n", 10, 10, 20, 18)]).pairs
    assert (first.fate, second.fate, second.iou) == ("deleted", "kept", 1.0)


def test_another_image_is_never_the_same() -> None:
    final = [polygon("0-0", 10, 10, 20, 20, item_index=1)]
    assert fates(match([CAR], final)) == ["deleted", "added"]


def test_a_part_that_was_deleted_is_a_change_of_shape() -> None:
    parts = [
        polygon("0-0", 0, 0, 10, 10, score=0.5),
        polygon("0-1", 20, 0, 5, 10, score=0.5),
    ]
    (pair,) = match(parts, parts[:1]).pairs
    assert (pair.fate, pair.iou) == ("reshaped", pytest.approx(100 / 150))


BOTH = [polygon("0-0", 10, 10, 20, 20), rectangle("0.1-0", 10, 10, 20, 20)]


def test_several_controls_of_an_instance_are_compared_each_with_its_own() -> None:
    changed = [BOTH[0], rectangle("0.1-0", 10, 10, 20, 16)]
    assert fates(match(BOTH, BOTH)) == ["kept"]
    assert fates(match(BOTH, BOTH[:1])) == ["kept"]
    assert fates(match(BOTH, BOTH[1:])) == ["kept"]
    (pair,) = match(BOTH, changed).pairs
    assert (pair.fate, pair.iou) == ("reshaped", pytest.approx(0.8))


def test_a_mask_drawn_anew_counts_even_where_its_rectangle_stayed() -> None:
    (pair,) = match(BOTH, [brush("n", 10, 10, 20, 16), BOTH[1]]).pairs
    assert (pair.fate, pair.by_id, pair.iou) == ("reshaped", True, pytest.approx(0.8))


def test_a_rectangle_around_what_was_predicted_changes_nothing() -> None:
    assert fates(match([CAR], [CAR, rectangle("r", 10, 10, 20.5, 20)])) == ["kept"]


@pytest.mark.parametrize(("least", "right"), [(0.5, True), (0.8, True), (0.81, False)])
def test_a_prediction_is_right_from_an_overlap_on(least: float, right: bool) -> None:
    (pair,) = match([CAR], [polygon("0-0", 10, 10, 20, 16)]).pairs
    assert pair.is_right(least) is right


def test_what_was_relabelled_was_not_right() -> None:
    for pair in match([CAR], [polygon("0-0", 10, 10, 20, 20, "bus")]).pairs:
        assert not pair.is_right(0)


regions = st.builds(
    lambda n, x, y, w, h, label, kind: kind(f"{n}-0", x, y, w, h, label),
    st.integers(0, 5), st.integers(0, 60), st.integers(0, 25), st.integers(1, 40),
    st.integers(1, 25), st.sampled_from(["car", "bus"]),
    st.sampled_from([polygon, brush, rectangle]),
)  # fmt: skip


@given(st.lists(regions, max_size=6), st.lists(regions, max_size=6), st.booleans())
def test_each_instance_is_in_exactly_one_pair(
    predicted: list[Row], final: list[Row], same_ids: bool
) -> None:
    one, other = read_instances(predicted).instances, read_instances(final).instances
    matching = match_instances(one, other, same_ids=same_ids)
    assert [pair.predicted for pair in matching.pairs if pair.predicted] == list(one)
    found = [pair.final for pair in matching.pairs if pair.final]
    assert len(found) == len(other)
    assert {id(each) for each in found} == {id(each) for each in other}
    assert sum(matching.counts.values()) == len(matching.pairs)


@given(st.lists(regions, max_size=6))
def test_what_nobody_touched_is_kept(result: list[Row]) -> None:
    found = read_instances(result).instances
    matching = match_instances(found, read_instances(result).instances)
    assert matching.counts["kept"] == len(found)


def test_regions_without_an_id_match_by_overlap_only() -> None:
    here, there = polygon("", 10, 10, 20, 20), polygon("", 60, 10, 20, 20)
    assert fates(match([here], [there])) == ["deleted", "added"]
    (pair,) = match([here], [here]).pairs
    assert (pair.fate, pair.by_id) == ("kept", False)
