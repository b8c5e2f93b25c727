"""Masks are pasted with half-pixel centres, only inside their boxes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.runtime import masks
from backend.runtime.contract import MaskFrame
from backend.runtime.detections import MaskCrop
from backend.runtime.masks import paste_mask
from backend.runtime.resize import ResizeGeometry

SAME = ResizeGeometry(100, 80, 100, 80, 100, 80)


def box(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


def full_frame(crop: MaskCrop, width: int = 100, height: int = 80) -> np.ndarray:
    frame = np.zeros((height, width), np.bool_)
    h, w = crop.pixels.shape
    frame[crop.y : crop.y + h, crop.x : crop.x + w] = crop.pixels
    return frame


def reference_paste(probabilities: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Pixel by pixel, from the definition: bilinear at pixel centres, nothing outside the mask."""
    frame = np.zeros((80, 100), np.bool_)
    rows, columns = probabilities.shape
    padded = np.pad(probabilities.astype(np.float64), 1)
    x1, y1, x2, y2 = bounds.astype(np.float64)
    for y in range(80):
        for x in range(100):
            u = (x + 0.5 - x1) / (x2 - x1) * columns - 0.5
            v = (y + 0.5 - y1) / (y2 - y1) * rows - 0.5
            if not (-1 <= u < columns and -1 <= v < rows):
                continue
            c, r = int(np.floor(u)), int(np.floor(v))
            a, b = u - c, v - r
            top = padded[r + 1, c + 1] * (1 - a) + padded[r + 1, c + 2] * a
            low = padded[r + 2, c + 1] * (1 - a) + padded[r + 2, c + 2] * a
            frame[y, x] = top * (1 - b) + low * b > 0.5 + 1e-6
    return frame


def test_box_without_a_pixel_centre_is_empty() -> None:
    crop = paste_mask(np.ones((4, 4), np.float32), box(3.6, 3.6, 4.4, 4.4), SAME, "box")
    assert crop.pixels.shape == (0, 0)


def test_full_mask_fills_its_box() -> None:
    crop = paste_mask(np.ones((4, 4), np.float32), box(10, 20, 15, 28), SAME, "box")
    assert (crop.x, crop.y, crop.pixels.shape) == (10, 20, (8, 5))
    assert crop.pixels.all()


@pytest.mark.parametrize(
    ("x1", "x2", "first", "count"),
    [(10.0, 20.0, 10, 10), (10.4, 20.0, 10, 10), (10.6, 20.0, 11, 9), (10.0, 20.6, 10, 11)],
)
def test_a_pixel_counts_when_its_centre_is_inside(
    x1: float, x2: float, first: int, count: int
) -> None:
    crop = paste_mask(np.ones((28, 28), np.float32), box(x1, 10, x2, 20), SAME, "box")
    assert (crop.x, crop.pixels.shape[1]) == (first, count)


def test_half_a_mask_ends_in_the_middle() -> None:
    half = np.zeros((4, 4), np.float32)
    half[:, :2] = 1
    crop = paste_mask(half, box(10, 10, 30, 30), SAME, "box")
    assert (crop.x, crop.pixels.shape) == (10, (20, 10))


def test_image_frame_covers_the_input_and_is_cut_to_the_box() -> None:
    probabilities = np.zeros((40, 50), np.float32)  # half the image's resolution
    probabilities[10:20, 10:30] = 1
    whole = paste_mask(probabilities, box(0, 0, 100, 80), SAME, "image")
    assert (whole.x, whole.y, whole.pixels.shape) == (20, 20, (20, 40))
    part = paste_mask(probabilities, box(30, 0, 100, 80), SAME, "image")
    assert (part.x, part.y, part.pixels.shape) == (30, 20, (20, 30))


def test_image_frame_knows_padding() -> None:
    padded = ResizeGeometry(100, 80, 200, 200, 200, 160)  # 40 rows of padding below
    probabilities = np.zeros((50, 50), np.float32)
    probabilities[:40] = 1  # the image's part of the input
    crop = paste_mask(probabilities, box(0, 0, 100, 80), padded, "image")
    assert (crop.x, crop.y, crop.pixels.shape) == (0, 0, (80, 100))


def test_image_frame_knows_padding_on_both_sides() -> None:
    padded = ResizeGeometry(100, 80, 200, 200, 200, 160, 0, 20)
    probabilities = np.zeros((50, 50), np.float32)
    probabilities[25:, 25:] = 1  # the input's right lower quarter
    crop = paste_mask(probabilities, box(0, 0, 100, 80), padded, "image")
    assert (crop.x, crop.y, crop.pixels.shape) == (50, 40, (40, 50))


def test_image_frame_reaches_the_border() -> None:
    crop = paste_mask(np.ones((5, 5), np.float32), box(0, 0, 100, 80), SAME, "image")
    assert crop.pixels.shape == (80, 100)


@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.floats(0, 60), st.floats(0, 50), st.floats(1, 40), st.floats(1, 30)),
)
def test_equals_the_definition(seed: int, where: tuple[float, float, float, float]) -> None:
    random = np.random.default_rng(seed)
    probabilities = random.integers(0, 2, random.integers(1, 9, 2)).astype(np.float32)
    bounds = box(where[0], where[1], where[0] + where[2], where[1] + where[3])
    got = full_frame(paste_mask(probabilities, bounds, SAME, "box"))
    wanted = reference_paste(probabilities, bounds)
    # Values of exactly one half may fall to either side in f32.
    assert np.count_nonzero(got != wanted) <= 0.01 * got.size


def test_trimmed_keeps_the_place() -> None:
    pixels = np.zeros((6, 6), np.bool_)
    pixels[2:4, 3] = True
    crop = MaskCrop(10, 20, pixels).trimmed()
    assert (crop.x, crop.y, crop.pixels.shape, crop.area) == (13, 22, (2, 1), 2)


@pytest.mark.parametrize("frame", ["box", "image"])
def test_a_large_mask_by_its_border_equals_one_of_all_pixels(
    frame: MaskFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    geometry = ResizeGeometry(900, 700, 450, 350, 450, 350)
    random = np.random.default_rng(5)
    probabilities = random.random((24, 30), np.float32)
    bounds = box(10.3, 20.7, 880.2, 690.9)
    by_border = paste_mask(probabilities, bounds, geometry, frame)
    assert by_border.pixels.size > masks._SMALL_PIXELS
    monkeypatch.setattr(masks, "_SMALL_PIXELS", 1 << 30)
    of_all = paste_mask(probabilities, bounds, geometry, frame)
    assert (by_border.x, by_border.y) == (of_all.x, of_all.y)
    np.testing.assert_array_equal(by_border.pixels, of_all.pixels)
