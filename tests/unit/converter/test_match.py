"""Matching, on instances written out by hand, and against the tests' own matcher."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from matching import agreement as agreement_of_the_tests

from backend.runtime.detections import MaskCrop
from backend.runtime.engine import RawOutputs
from backend.runtime.overlap import box_ious, mask_iou
from converter.agreement import Agreement
from converter.match import SCORE_TIE, Alone, Matching, Side, match

Row = tuple[tuple[float, float, float, float], float, int]  # box, score, label
CAR = ((10.0, 10.0, 30.0, 30.0), 0.9, 1)


def side(*rows: Row, masks: list[MaskCrop] | None = None, raw: np.ndarray | None = None) -> Side:
    return Side(
        np.array([row[0] for row in rows], np.float32).reshape(-1, 4),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.int64),
        masks,
        raw,
    )


def crop(x: int, y: int, *rows: str) -> MaskCrop:
    width = len(rows[0]) if rows else 0
    pixels = [[c == "#" for c in row] for row in rows]
    return MaskCrop(x, y, np.array(pixels, np.bool_).reshape(len(rows), width))


def pairs(found: Matching) -> list[tuple[int, int]]:
    return [(pair.one, pair.other) for pair in found.pairs]


def test_nothing_on_both_sides() -> None:
    found = match(side(), side())
    assert found == Matching()
    assert found.share == 1.0
    total = Agreement.of([found])
    assert (total.share, total.share_of_one, total.images) == (1.0, 1.0, 1)
    assert math.isnan(total.quantile("box_px", 0.5))
    assert math.isnan(total.mean_mask_iou)


def test_nothing_on_one_side() -> None:
    found = match(side(CAR), side())
    assert found.only_one == (Alone(0, "missing"),)
    assert found.share == 0.0
    assert Agreement.of([found]).share_of_one == 0.0
    assert Agreement.of([match(side(), side(CAR))]).share_of_one == 1.0


def test_order_does_not_matter() -> None:
    dog = ((50.0, 50.0, 80.0, 90.0), 0.7, 2)
    found = match(side(CAR, dog), side(dog, CAR))
    assert pairs(found) == [(0, 1), (1, 0)]
    assert found.share == 1.0


def test_differences_of_a_pair() -> None:
    one = side(CAR, masks=[crop(10, 10, "##", "##")], raw=np.full((1, 2, 2), 0.75, np.float32))
    other = side(
        ((10.0, 10.0, 30.0, 33.0), 0.8, 1),
        masks=[crop(10, 10, "##", "#.")],
        raw=np.array([[[0.75, 0.5], [0.75, 0.75]]], np.float32),
    )
    (pair,) = match(one, other).pairs
    assert pair.box_iou == pytest.approx(20 * 20 / (20 * 23))
    assert pair.box_px == 3.0
    assert pair.score == pytest.approx(0.1)
    assert pair.mask_iou == 0.75
    assert pair.mask == 0.25


def test_one_to_one() -> None:
    """Two of one side on one of the other: the better overlap wins."""
    near = ((12.0, 10.0, 32.0, 30.0), 0.95, 1)
    found = match(side(near, CAR), side(CAR))
    assert pairs(found) == [(1, 0)]
    assert found.only_one == (Alone(0, "box", 0),)


def test_of_duplicates_the_nearer_score_decides() -> None:
    copy = (CAR[0], 0.6, 1)
    found = match(side(CAR, copy), side(copy, CAR))
    assert pairs(found) == [(0, 1), (1, 0)]


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        ((CAR[0], 0.4, 1), "score"),
        ((CAR[0], 0.9, 2), "label"),
        (((22.0, 10.0, 42.0, 30.0), 0.9, 1), "box"),
    ],
)
def test_why_an_instance_is_alone(other: Row, reason: str) -> None:
    found = match(side(CAR), side(other))
    assert found.pairs == ()
    assert found.only_one == (Alone(0, reason, 0),)
    assert len(found.only_other) == (reason != "score")


def test_of_two_reasons_the_better_overlap_decides() -> None:
    """The same place with another label says more than a faint one that is near."""
    faint, renamed = ((14.0, 10.0, 34.0, 30.0), 0.1, 1), (CAR[0], 0.9, 2)
    assert match(side(CAR), side(faint, renamed)).only_one == (Alone(0, "label", 1),)
    faint = (CAR[0], 0.1, 1)
    assert match(side(CAR), side(faint, renamed)).only_one == (Alone(0, "score", 0),)


def test_a_score_gap_below_a_tie_does_not_part_a_pair() -> None:
    above, below = (CAR[0], 0.5, 1), (CAR[0], 0.5 - SCORE_TIE / 2, 1)
    assert match(side(above), side(below)).share == 1.0
    assert match(side(below), side(above)).share == 1.0
    assert match(side(below), side(below)) == Matching()
    far = (CAR[0], 0.5 - 2 * SCORE_TIE, 1)
    assert match(side(above), side(far)).only_one == (Alone(0, "score", 0),)


def test_boxes_without_area_stand_apart() -> None:
    flat = ((10.0, 10.0, 10.0, 30.0), 0.9, 1)
    found = match(side(flat, CAR), side(CAR, flat, flat))
    assert pairs(found) == [(1, 0)]
    assert found.flat == (1, 2)
    assert found.share == 1.0


def test_numbers_that_are_not_finite_match_nothing() -> None:
    broken = ((10.0, 10.0, math.nan, 30.0), 0.9, 1)
    no_score = (CAR[0], math.nan, 1)
    found = match(side(broken, no_score), side(CAR))
    assert found.broken == (2, 0)
    assert len(found.only_other) == 1
    assert found.pairs == ()


def test_masks_of_different_sizes_have_no_largest_difference() -> None:
    one = side(CAR, raw=np.zeros((1, 2, 2), np.float32))
    other = side(CAR, raw=np.zeros((1, 4, 4), np.float32))
    assert match(one, other).pairs[0].mask is None


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (crop(0, 0), crop(5, 5), 1.0),
        (crop(0, 0, "#"), crop(0, 0), 0.0),
        (crop(0, 0, "##"), crop(1, 0, "##"), 1 / 3),
        (crop(3, 4, "..", ".#"), crop(4, 5, "#"), 1.0),
        (crop(0, 0, "#"), crop(9, 9, "#"), 0.0),
    ],
)
def test_mask_iou(a: MaskCrop, b: MaskCrop, expected: float) -> None:
    assert mask_iou(a, b) == pytest.approx(expected)
    assert mask_iou(b, a) == pytest.approx(expected)


def test_box_ious() -> None:
    a = np.array([[0, 0, 2, 2], [1, 1, 1, 5]], np.float32)
    b = np.array([[1, 0, 3, 2], [0, 0, 2, 2], [5, 5, 6, 6]], np.float32)
    assert box_ious(a, b) == pytest.approx(np.array([[1 / 3, 1, 0], [0, 0, 0]]))
    assert box_ious(a[:0], b).shape == (0, 3)


_ROWS = st.lists(
    st.tuples(
        st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(13, 24)] * 2),
        st.integers(1, 9).map(lambda tenths: tenths / 10 + 0.05),
        st.integers(0, 1),
    ),
    max_size=6,
)


@given(_ROWS, _ROWS)
def test_the_same_as_the_matcher_of_the_tests(one: list[Row], other: list[Row]) -> None:
    """Which of equal overlaps is taken may differ, so that only sides without duplicates count."""
    ious = box_ious(side(*one).boxes_xyxy_px, side(*other).boxes_xyxy_px)
    large = ious[ious >= 0.5]
    assume(len(np.unique(np.round(large, 3))) == large.size)
    expected = agreement_of_the_tests(raw(one), raw(other), 0.5)
    found = match(side(*one), side(*other))
    assert len(found.pairs) == expected.pairs
    assert len(found.only_one) + len(found.only_other) == expected.unmatched
    if found.pairs:
        total = Agreement.of([found])
        assert total.quantile("box_px", 1) == expected.box_px
        assert total.quantile("score", 1) == pytest.approx(expected.score)


@given(_ROWS)
def test_a_side_matches_itself(rows: list[Row]) -> None:
    found = match(side(*rows), side(*reversed(rows)))
    assert found.only_one == found.only_other == ()
    assert len(found.pairs) == sum(row[1] >= 0.5 for row in rows)
    assert all(pair.box_px == 0 and pair.score == 0 for pair in found.pairs)


def raw(rows: list[Row]) -> RawOutputs:
    boxes = np.array([[*row[0], row[1]] for row in rows], np.float32).reshape(-1, 5)
    return RawOutputs(boxes, np.array([row[2] for row in rows], np.int64), None)
