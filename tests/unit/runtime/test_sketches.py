"""Large masks are drawn in squares of several pixels, and their polygons keep their overlap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from backend.runtime.coco_rle import encode_coco
from backend.runtime.contract import MaskFrame
from backend.runtime.detections import MaskCrop
from backend.runtime.masks import cut_mask, paste_cells, paste_mask, sketch_cells
from backend.runtime.polygons import PolygonDetail, polygons
from backend.runtime.resize import ResizeGeometry
from backend.runtime.sketches import MasksOnDemand, polygons_of

WIDTH, HEIGHT = 1600, 1200
GEOMETRY = ResizeGeometry(WIDTH, HEIGHT, 400, 300, 400, 300)


def on_demand(
    probabilities: list[np.ndarray], boxes: list[list[float]], frame: MaskFrame = "box"
) -> MasksOnDemand:
    rows = np.array(boxes, np.float32).reshape(-1, 4)
    cells = [
        cut_mask(mask, box, GEOMETRY, frame) for mask, box in zip(probabilities, rows, strict=True)
    ]
    return MasksOnDemand(cells, rows, GEOMETRY, frame)


def blob(waves: int, depth: float, size: int = 28, radius: float = 0.75) -> np.ndarray:
    """A star with `waves` rounded rays, f32 [size, size]."""
    ys, xs = (np.mgrid[:size, :size] + 0.5) / size * 2 - 1
    border = radius + depth * np.sin(waves * np.arctan2(ys, xs))
    return (1 / (1 + np.exp((np.hypot(xs, ys) - border) * 12))).astype(np.float32)


def overlap(rings: list[np.ndarray], mask: MaskCrop) -> float:
    drawn = [ring.ravel().tolist() for ring in rings]
    polygon = coco_mask.merge(coco_mask.frPyObjects(drawn, HEIGHT, WIDTH))
    return float(coco_mask.iou([polygon], [encode_coco(mask, WIDTH, HEIGHT)], [0])[0][0])


def test_no_masks() -> None:
    assert polygons_of((), [], []) == []
    assert polygons_of(on_demand([], []), [], []) == []
    assert list(on_demand([], [])) == []


def test_a_mask_of_nothing_has_no_polygon() -> None:
    masks = on_demand([np.zeros((28, 28), np.float32)], [[0, 0, 1600, 1200]])
    assert masks.sketch(0, 0.957) is None
    assert polygons_of(masks, [0], [PolygonDetail()]) == [[]]


def test_masks_are_those_of_the_box_and_pasted_once() -> None:
    shapes = [blob(3, 0.1), blob(5, 0.2), blob(4, 0.0)]
    boxes = [[10, 20, 300, 200], [0, 0, 50.5, 70], [800.3, 500, 1600, 1200]]
    masks = on_demand(shapes, boxes)
    assert len(masks) == 3
    for mask, shape, box in zip(masks, shapes, boxes, strict=True):
        wanted = paste_mask(shape, np.array(box, np.float32), GEOMETRY, "box")
        assert (mask.x, mask.y) == (wanted.x, wanted.y)
        np.testing.assert_array_equal(mask.pixels, wanted.pixels)
    assert masks[1] is masks[1] and masks[-1] is masks[2]
    assert masks[1:] == (masks[1], masks[2])
    with pytest.raises(IndexError):
        masks[3]


def test_a_square_is_what_its_middle_is() -> None:
    box = np.array([101.2, 40, 1501, 1130.7], np.float32)
    cells = cut_mask(blob(5, 0.2), box, GEOMETRY, "box")
    for step in (3, 7):
        # The middle of an odd square is the centre of a pixel.
        sketch = sketch_cells(cells, box, GEOMETRY, "box", step)
        whole = paste_cells(cells, box, GEOMETRY, "box")
        frame = np.zeros((HEIGHT, WIDTH), np.bool_)
        rows, columns = whole.pixels.shape
        frame[whole.y : whole.y + rows, whole.x : whole.x + columns] = whole.pixels
        middles = frame[40 + step // 2 : 1131 : step, 101 + step // 2 : 1501 : step]
        rows, columns = sketch.pixels.shape
        shown = middles[sketch.y : sketch.y + rows, sketch.x : sketch.x + columns]
        np.testing.assert_array_equal(sketch.pixels, shown)
        assert middles.sum() == sketch.area


@pytest.mark.parametrize("frame", ["box", "image"])
def test_a_large_mask_is_sketched_and_keeps_its_overlap(frame: MaskFrame) -> None:
    masks = on_demand([blob(5, 0.15)], [[100, 50, 1500, 1150]], frame)
    for wanted in (0.9, 0.957, 0.98):
        sketch = masks.sketch(0, wanted)
        assert sketch is not None and sketch.step >= 2
        (rings,) = polygons_of(masks, [0], [PolygonDetail(wanted)])
        assert overlap(rings, masks[0]) >= wanted
        exact = polygons(masks[0], PolygonDetail(wanted))
        assert len(rings) == len(exact)
        assert abs(len(rings[0]) - len(exact[0])) <= 4


def test_small_masks_and_close_outlines_are_drawn_pixel_by_pixel() -> None:
    masks = on_demand([blob(5, 0.15), blob(5, 0.15)], [[10, 10, 150, 120], [100, 50, 1500, 1150]])
    assert masks.sketch(0, 0.957) is None
    assert masks.sketch(1, 1.0) is None
    details = [PolygonDetail(), PolygonDetail(1.0, max_points=100_000)]
    drawn = polygons_of(masks, [0, 1], details)
    for rings, mask, detail in zip(drawn, masks, details, strict=True):
        for ring, wanted in zip(rings, polygons(mask, detail), strict=True):
            np.testing.assert_array_equal(ring, wanted)


def test_thin_shapes_are_drawn_closer() -> None:
    bar, disc = np.zeros((28, 28), np.float32), blob(4, 0.0)
    bar[:, 13:15] = 1
    masks = on_demand([bar, disc], [[100, 50, 1500, 1150]] * 2)
    of_bar, of_disc = masks.sketch(0, 0.957), masks.sketch(1, 0.957)
    assert of_disc is not None and (of_bar.step if of_bar else 1) < of_disc.step


def test_a_mask_that_fills_its_box_stays_within_it() -> None:
    for box in ([0, 0, 1600, 1200], [3.3, 5.7, 1590.2, 1111.9]):
        masks = on_demand([np.ones((28, 28), np.float32)], [box], "image")
        (rings,) = polygons_of(masks, [0], [PolygonDetail()])
        (ring,) = rings
        assert (ring >= np.round(box[:2])).all() and (ring <= np.round(box[2:])).all()
        assert overlap(rings, masks[0]) > 0.99


def test_holes_and_parts_stay() -> None:
    ring = blob(4, 0.0)
    ring[12:16, 12:16] = 0
    two = np.zeros((28, 28), np.float32)
    two[:, :10] = two[:, 18:] = 1
    masks = on_demand([ring, two], [[100, 50, 1500, 1150]] * 2)
    assert masks.sketch(0, 0.957) is not None and masks.sketch(1, 0.957) is not None
    of_ring, of_two = polygons_of(masks, [0, 1], [PolygonDetail(0.98)] * 2)
    assert len(of_ring) == 1 and len(of_two) == 2
    assert overlap(of_ring, masks[0]) >= 0.98
    assert overlap(of_two, masks[1]) >= 0.98


@settings(deadline=None, max_examples=60)
@given(
    waves=st.integers(2, 8),
    depth=st.floats(0, 0.3),
    radius=st.floats(0.3, 0.9),
    box=st.tuples(st.floats(0, 600), st.floats(0, 500), st.floats(250, 1000), st.floats(250, 700)),
    wanted=st.sampled_from([0.9, 0.957, 0.98, 0.99]),
)
def test_overlap(
    waves: int,
    depth: float,
    radius: float,
    box: tuple[float, float, float, float],
    wanted: float,
) -> None:
    x, y, w, h = box
    masks = on_demand([blob(waves, depth, radius=radius)], [[x, y, x + w, y + h]])
    detail = PolygonDetail(wanted, max_points=400)
    (rings,) = polygons_of(masks, [0], [detail])
    assert overlap(rings, masks[0]) >= wanted - 0.002
