"""Boxes that overlap, among many."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from backend.runtime.overlap import box_ious, near_boxes


def boxes(number: int, seed: int) -> np.ndarray:
    corner = np.random.default_rng(seed).uniform(0, 900, (number, 2))
    return np.hstack([corner, corner + 20])


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 3), (3, 0)])
def test_no_boxes(one: int, other: int) -> None:
    assert list(near_boxes(boxes(one, 0), boxes(other, 1), 0.1)) == []


@pytest.mark.parametrize(("one", "other"), [(1, 1), (700, 800), (2, 300_000)])
def test_the_same_pairs_as_of_the_whole_table(one: int, other: int) -> None:
    a, b = boxes(one, 0), boxes(other, 1)
    ious = box_ious(a, b)
    wanted = [(i, j, ious[i, j]) for i, j in np.argwhere(ious >= 0.1).tolist()]
    assert list(near_boxes(a, b, 0.1)) == wanted


def test_thousands_of_boxes_take_little_memory() -> None:
    tracemalloc.start()
    found = list(near_boxes(boxes(3000, 0), boxes(3000, 1), 0.5))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found
    assert peak < 60_000_000
