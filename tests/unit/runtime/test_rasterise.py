"""Polygons become the same pixels as with pycocotools."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from backend.runtime.detections import MaskCrop
from backend.runtime.polygons import PolygonDetail, polygons
from backend.runtime.rasterise import rasterise_polygon, union

WIDTH, HEIGHT = 23, 17


def framed(mask: MaskCrop, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    frame = np.zeros((height, width), np.bool_)
    rows, columns = mask.pixels.shape
    frame[mask.y : mask.y + rows, mask.x : mask.x + columns] = mask.pixels
    return frame


def by_pycocotools(points: np.ndarray) -> np.ndarray:
    (rle,) = coco_mask.frPyObjects([points.ravel().tolist()], HEIGHT, WIDTH)
    return np.asarray(coco_mask.decode(rle), np.bool_)


@pytest.mark.parametrize("points", [[], [[1, 1]], [[1, 1], [5, 5]]])
def test_fewer_than_three_points_have_no_area(points: list[list[float]]) -> None:
    mask = rasterise_polygon(np.array(points, np.float64).reshape(-1, 2), WIDTH, HEIGHT)
    assert mask.area == 0


def test_edges_are_pixel_edges() -> None:
    mask = rasterise_polygon(np.array([[2, 3], [6, 3], [6, 5], [2, 5]]), WIDTH, HEIGHT)
    assert (mask.x, mask.y, mask.pixels.shape, mask.area) == (2, 3, (2, 4), 8)


def test_what_leaves_the_image_is_cut_off() -> None:
    points = np.array([[-5.0, -5.0], [1e9, -5.0], [1e9, 1e9], [-5.0, 1e9]])
    assert rasterise_polygon(points, WIDTH, HEIGHT).area == WIDTH * HEIGHT


@pytest.mark.parametrize("points", [[1, 2, 3], [[1, 2, 3]], [[1, float("nan")], [2, 2], [3, 3]]])
def test_what_is_no_polygon(points: list[float]) -> None:
    with pytest.raises(ValueError, match="finite points"):
        rasterise_polygon(np.array(points), WIDTH, HEIGHT)


# A fiftieth of a pixel, as people's and our own points may lie anywhere.
place = st.tuples(st.integers(0, WIDTH * 50), st.integers(0, HEIGHT * 50))


@settings(max_examples=400, deadline=None)
@given(st.lists(place, min_size=3, max_size=12))
def test_the_same_pixels_as_pycocotools(places: list[tuple[int, int]]) -> None:
    points = np.array(places, np.float64) / 50
    mask = framed(rasterise_polygon(points, WIDTH, HEIGHT))
    assert (mask == by_pycocotools(points)).all()


anywhere = st.tuples(st.integers(-9000, 9000), st.integers(-9000, 9000))


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(place, anywhere), min_size=3, max_size=12))
def test_the_same_pixels_where_the_outline_leaves_the_image(places: list[tuple[int, int]]) -> None:
    points = np.array(places, np.float64) / 50
    mask = framed(rasterise_polygon(points, WIDTH, HEIGHT))
    assert (mask == by_pycocotools(points)).all()


def zigzag(number: int, width: int, height: int) -> np.ndarray:
    """From far left to far right of the image, again and again."""
    y = np.linspace(0, height, number)
    return np.column_stack([np.where(np.arange(number) % 2, -4.0 * width, 5.0 * width), y])


def test_a_long_outline_takes_no_more_memory_than_its_pixels() -> None:
    tracemalloc.start()
    mask = rasterise_polygon(zigzag(300, 4000, 3000), 4000, 3000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mask.pixels.shape[1] == 4000
    assert peak < 150_000_000  # two frames of 12 million bytes, and the crossings of one step


def test_an_outline_without_end_is_refused() -> None:
    with pytest.raises(ValueError, match="20000000 times, more than 16000000"):
        rasterise_polygon(zigzag(5000, 4000, 3000), 4000, 3000)


def test_a_mask_with_a_hole_comes_back_from_its_polygon() -> None:
    pixels = np.zeros((12, 14), np.bool_)
    pixels[1:11, 1:13] = True
    pixels[4:8, 5:9] = False
    mask = MaskCrop(3, 2, pixels)
    (ring,) = polygons(mask, PolygonDetail(overlap=1.0, min_area_px=0))
    assert (framed(rasterise_polygon(ring, WIDTH, HEIGHT)) == framed(mask)).all()


def test_union_of_nothing_is_empty() -> None:
    assert union([]).area == 0
    assert union([MaskCrop(4, 4, np.zeros((2, 2), np.bool_))]).area == 0


def test_union_counts_shared_pixels_once() -> None:
    one = MaskCrop(1, 1, np.ones((2, 3), np.bool_))
    other = MaskCrop(3, 2, np.ones((3, 1), np.bool_))
    both = union([one, other])
    assert (both.x, both.y, both.area) == (1, 1, 8)
    assert (framed(both) == framed(one) | framed(other)).all()
