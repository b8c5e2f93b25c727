"""Which instance is meant."""

from __future__ import annotations

import numpy as np
import pytest

from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.prompt_choice import PixelPrompts, choose_instance

Box = tuple[int, int, int, int]


def instances(*found: tuple[Box, int, float], masks: bool = True) -> Detections:
    """Boxes that their masks fill, labels and scores, best first; in an image of 200 x 100."""
    boxes = np.array([box for box, _, _ in found], np.float32).reshape(-1, 4)
    crops = tuple(
        MaskCrop(x1, y1, np.ones((y2 - y1, x2 - x1), bool)) for (x1, y1, x2, y2), _, _ in found
    )
    scores = np.array([score for _, _, score in found], np.float32)
    labels = np.array([label for _, label, _ in found], np.int64)
    return Detections(200, 100, boxes, scores, labels, crops if masks else None)


def chosen(found: Detections, prompts: PixelPrompts) -> int | None:
    choice = choose_instance(found, prompts)
    return choice.index if choice else None


LEFT, RIGHT, ALL = (10, 10, 60, 60), (100, 10, 160, 60), (0, 0, 200, 100)
INSIDE_LEFT, INSIDE_RIGHT, OUTSIDE = (30.0, 30.0, True), (120.0, 30.0, True), (190.0, 90.0, True)


def test_nothing_is_found() -> None:
    assert chosen(instances(), PixelPrompts(points=(INSIDE_LEFT,))) is None


@pytest.mark.parametrize("masks", [True, False])
def test_a_point_means_what_it_lies_in(masks: bool) -> None:
    found = instances((LEFT, 0, 0.9), (RIGHT, 0, 0.2), masks=masks)
    assert chosen(found, PixelPrompts(points=(INSIDE_LEFT,))) == 0
    assert chosen(found, PixelPrompts(points=(INSIDE_RIGHT,))) == 1
    assert chosen(found, PixelPrompts(points=(OUTSIDE,))) is None


def test_the_edge_of_a_pixel_belongs_to_it() -> None:
    found = instances((LEFT, 0, 0.9))
    assert chosen(found, PixelPrompts(points=((10.0, 10.0, True),))) == 0
    assert chosen(found, PixelPrompts(points=((9.99, 10.0, True),))) is None
    assert chosen(found, PixelPrompts(points=((59.99, 59.99, True),))) == 0
    assert chosen(found, PixelPrompts(points=((60.0, 30.0, True),))) is None


def test_the_label_goes_before_the_score() -> None:
    found = instances((ALL, 0, 0.9), (LEFT, 1, 0.1))
    assert chosen(found, PixelPrompts(points=(INSIDE_LEFT,), labels=frozenset({1}))) == 1
    assert chosen(found, PixelPrompts(points=(INSIDE_LEFT,), labels=frozenset({2}))) == 0


def test_of_equals_the_smaller_one() -> None:
    found = instances((ALL, 0, 0.5), (LEFT, 0, 0.49))
    assert chosen(found, PixelPrompts(points=(INSIDE_LEFT,))) == 1


def test_a_negative_point_takes_what_it_lies_in_away() -> None:
    found = instances((ALL, 0, 0.9), (LEFT, 0, 0.1))
    away = (120.0, 30.0, False)
    assert chosen(found, PixelPrompts(points=(INSIDE_LEFT, away))) == 1


def test_several_points_mean_what_holds_them_all() -> None:
    found = instances((LEFT, 0, 0.9), (ALL, 0, 0.1))
    assert chosen(found, PixelPrompts(points=(INSIDE_LEFT, INSIDE_RIGHT))) == 1


def test_a_box_means_what_fills_it() -> None:
    found = instances((ALL, 0, 0.9), (LEFT, 0, 0.1))
    assert chosen(found, PixelPrompts(boxes=((8, 8, 62, 62),))) == 1
    assert chosen(found, PixelPrompts(boxes=((70, 70, 80, 80),))) == 0  # at least it overlaps
    assert chosen(instances((LEFT, 0, 0.9)), PixelPrompts(boxes=((70, 70, 80, 80),))) is None


def test_where_a_closer_look_is_worth_it() -> None:
    small = (10, 10, 20, 20)  # half a percent of the image
    point = PixelPrompts(points=((15.0, 15.0, True),), labels=frozenset({0}))
    sure = {
        name: choice.is_sure
        for name, found in {
            "large": instances((LEFT, 0, 0.9)),
            "small": instances((small, 0, 0.9)),
            "other label": instances((LEFT, 1, 0.9)),
        }.items()
        if (choice := choose_instance(found, point))
    }
    assert sure == {"large": True, "small": False, "other label": False}


def test_the_focus_holds_all_that_is_positive() -> None:
    prompts = PixelPrompts(points=(INSIDE_LEFT, (0.0, 0.0, False)), boxes=(RIGHT,))
    assert prompts.focus == (30.0, 10, 160, 60)
