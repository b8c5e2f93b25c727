"""Windows for closer looks, and what is found in them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.demo import MODEL_PATH
from backend.demo.scenes import FIRST_UNSEEN_SEED, draw_scene
from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from backend.runtime.zoom import detect_within, joined, picked, window_around


@given(
    st.floats(0, 4000), st.floats(0, 3000), st.floats(0, 500), st.floats(0, 500),
    st.floats(0.05, 1), st.integers(1, 4000), st.integers(1, 3000),
)  # fmt: skip
def test_a_window_lies_inside_and_holds_the_focus(
    x: float, y: float, w: float, h: float, share: float, width: int, height: int
) -> None:
    x, y = min(x, width), min(y, height)
    focus = (x, y, min(x + w, width), min(y + h, height))
    x1, y1, x2, y2 = window_around(focus, share, width, height)
    assert 0 <= x1 < x2 <= width
    assert 0 <= y1 < y2 <= height
    assert x1 <= focus[0] and focus[2] <= x2
    assert y1 <= focus[1] and focus[3] <= y2
    assert x2 - x1 >= min(width * share, width) - 1e-6


def test_near_prompts_share_a_window() -> None:
    one = window_around((500, 400, 500, 400), 0.5, 1920, 1080)
    assert one == window_around((503, 402, 503, 402), 0.5, 1920, 1080)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(MODEL_PATH, device="CPU", precision="f32")


def test_what_is_found_in_a_window_lies_where_it_is(engine: Engine) -> None:
    scene = draw_scene(FIRST_UNSEEN_SEED + 2, 640, 480)
    thing = max(scene.instances, key=lambda instance: instance.mask.sum())
    x1, y1, x2, y2 = thing.box_xyxy_px
    window = window_around((x1, y1, x2, y2), 0.5, 640, 480)
    assert window != (0, 0, 640, 480)
    image = DecodedImage(scene.pixels, 1, "")
    found = detect_within(engine, image, window, 0.3, 50)
    assert (found.width, found.height) == (640, 480)
    assert found.masks is not None
    best = max(_overlap(found, i, thing.mask) for i in range(len(found)))
    assert best > 0.7  # in the wrong place it would be near 0


def _overlap(found: Detections, i: int, mask: np.ndarray) -> float:
    assert found.masks is not None
    crop = found.masks[i]
    full = np.zeros_like(mask)
    rows, columns = crop.pixels.shape
    full[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
    return float((full & mask).sum() / (full | mask).sum())


def test_what_the_window_cuts_is_left_out(engine: Engine) -> None:
    scene = draw_scene(FIRST_UNSEEN_SEED + 2, 640, 480)
    thing = max(scene.instances, key=lambda instance: instance.mask.sum())
    left, _, right, _ = thing.box_xyxy_px
    middle = (left + right) // 2
    image = DecodedImage(scene.pixels, 1, "")
    found = detect_within(engine, image, (middle, 0, 640, 480), 0.05, 50)
    assert not np.any(found.boxes_xyxy_px[:, 0] < middle + 1)


def test_joined_are_in_the_order_of_scores() -> None:
    def one(score: float) -> Detections:
        box = np.array([[0, 0, 2, 2]], np.float32)
        crop = MaskCrop(0, 0, np.ones((2, 2), bool))
        return Detections(
            4, 4, box, np.array([score], np.float32), np.array([0], np.int64), (crop,)
        )

    both = joined(one(0.25), one(0.5))
    assert both.scores.tolist() == [0.5, 0.25]
    assert both.masks is not None and len(both.masks) == 2
    assert picked(both, [1]).scores.tolist() == [0.25]
    assert len(picked(both, [])) == 0
