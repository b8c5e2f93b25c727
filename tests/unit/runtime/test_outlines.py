"""Rings follow pixel edges exactly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from backend.runtime.chains import RingPoints
from backend.runtime.detections import MaskCrop
from backend.runtime.outlines import ring_area, trace
from backend.runtime.polygons import PolygonDetail, polygons, polygons_of_all

masks = st.tuples(st.integers(1, 24), st.integers(1, 24)).flatmap(lambda s: arrays(np.bool_, s))


def filled(rings: list[np.ndarray], width: int, height: int) -> np.ndarray:
    """Even-odd fill by pixel centres, independent of the code under test."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    inside = np.zeros((height, width), np.bool_)
    for ring in rings:
        for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
            if y1 != y2:
                crosses = (np.minimum(y1, y2) <= ys) & (ys < np.maximum(y1, y2))
                inside ^= crosses & (xs < x1 + (ys - y1) * (x2 - x1) / (y2 - y1))
    return inside


def test_empty() -> None:
    assert trace(MaskCrop(0, 0, np.zeros((0, 0), np.bool_))) == []
    assert trace(MaskCrop(0, 0, np.zeros((5, 4), np.bool_))) == []


def test_one_pixel() -> None:
    (part,) = trace(MaskCrop(3, 5, np.ones((1, 1), np.bool_)))
    assert {tuple(p) for p in part.outer} == {(3, 5), (4, 5), (4, 6), (3, 6)}
    assert part.holes == ()


def test_full_frame() -> None:
    (part,) = trace(MaskCrop(0, 0, np.ones((30, 40), np.bool_)))
    assert {tuple(p) for p in part.outer} == {(0, 0), (40, 0), (40, 30), (0, 30)}


def test_a_hole() -> None:
    pixels = np.ones((5, 5), np.bool_)
    pixels[1:3, 2:4] = False
    (part,) = trace(MaskCrop(0, 0, pixels))
    assert part.area == 21
    assert {tuple(p) for p in part.holes[0]} >= {(2, 1), (4, 1), (4, 3), (2, 3)}


def test_holes_run_against_their_outline() -> None:
    """Label Studio fills by winding: a hole of the same direction would be filled."""
    pixels = np.ones((40, 40), np.bool_)
    pixels[10:30, 10:30] = False
    (part,) = trace(MaskCrop(0, 0, pixels))
    assert signed_area(part.outer) == -1600
    assert signed_area(part.holes[0]) == 400


def signed_area(ring: np.ndarray) -> float:
    (x, y), (x2, y2) = ring.T, np.roll(ring, -1, axis=0).T
    return float((x * y2 - x2 * y).sum() / 2)


def test_thousands_of_parts() -> None:
    pixels = np.zeros((120, 120), np.bool_)
    pixels[::2, ::2] = True
    parts = trace(MaskCrop(0, 0, pixels))
    assert len(parts) == 3600
    assert all(part.area == 1 for part in parts)


@given(masks)
def test_area_and_pixels_are_exact(pixels: np.ndarray) -> None:
    parts = trace(MaskCrop(0, 0, pixels))
    assert sum(part.area for part in parts) == np.count_nonzero(pixels)
    rings = [ring for part in parts for ring in (part.outer, *part.holes)]
    assert np.array_equal(filled(rings, pixels.shape[1], pixels.shape[0]), pixels)


@given(masks)
def test_polygons_of_full_detail_are_exact_with_keyholes(pixels: np.ndarray) -> None:
    detail = PolygonDetail(overlap=1.0, max_points=10_000, min_area_px=0)
    rings = polygons(MaskCrop(0, 0, pixels), detail)
    assert np.array_equal(filled(rings, pixels.shape[1], pixels.shape[0]), pixels)


@given(masks, st.floats(0.5, 1.0), st.integers(4, 80))
def test_polygons_keep_the_overlap_or_use_up_their_points(
    pixels: np.ndarray, overlap: float, max_points: int
) -> None:
    for part in trace(MaskCrop(0, 0, pixels)):
        height, width = pixels.shape
        mask = filled([part.outer, *part.holes], width, height)
        crop = MaskCrop(0, 0, mask)
        (ring,) = polygons(crop, PolygonDetail(overlap, max_points, min_area_px=0))
        assert 3 <= len(ring) <= max_points
        assert ring.min() >= 0 and ring[:, 0].max() <= width and ring[:, 1].max() <= height
        if len(ring) <= max_points - 6:  # a hole might have cost as many
            # Samples on the ring itself may count either way: an eighth of a pixel along it.
            length = np.abs(np.diff(part.outer, axis=0, append=part.outer[:1])).sum()
            assert area_overlap(mask, ring) >= overlap - length / 8 / part.area


def area_overlap(mask: np.ndarray, ring: np.ndarray, fine: int = 8) -> float:
    """Intersection over union of areas, by 8x8 sample points a pixel."""
    big = np.repeat(np.repeat(mask, fine, axis=0), fine, axis=1)
    drawn = filled([ring * fine], big.shape[1], big.shape[0])
    return float((big & drawn).sum() / (big | drawn).sum())


@pytest.mark.parametrize("shift", [0, 1000])
def test_ellipse_with_hole_in_few_points(shift: int) -> None:
    ys, xs = np.mgrid[:200, :300]
    outer = ((xs - 150) / 120) ** 2 + ((ys - 100) / 80) ** 2 < 1
    pixels = outer & ((xs - 150) ** 2 + (ys - 100) ** 2 > 20**2)
    (ring,) = polygons(MaskCrop(shift, shift, pixels), PolygonDetail())
    assert len(ring) <= 22
    drawn = coco_mask.frPyObjects([(ring - shift).ravel().tolist()], 200, 300)
    truth = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    assert coco_mask.iou(drawn, [truth], [0])[0][0] >= 0.955


def test_small_parts_are_left_out_but_never_the_largest() -> None:
    pixels = np.zeros((10, 10), np.bool_)
    pixels[0:5, 0:5] = True
    pixels[8, 8] = True
    assert len(polygons(MaskCrop(0, 0, pixels), PolygonDetail(min_area_px=2))) == 1
    assert len(polygons(MaskCrop(0, 0, pixels), PolygonDetail(min_area_px=1))) == 2
    assert len(polygons(MaskCrop(0, 0, pixels[8:, 8:]), PolygonDetail(min_area_px=99))) == 1


def test_a_hole_too_costly_for_the_points_is_dropped() -> None:
    pixels = np.ones((40, 40), np.bool_)
    pixels[10:30, 10:30] = False
    (kept,) = polygons(MaskCrop(0, 0, pixels), PolygonDetail(max_points=12))
    (dropped,) = polygons(MaskCrop(0, 0, pixels), PolygonDetail(max_points=8))
    assert ring_area(kept) == 1200
    assert ring_area(dropped) == 1600


@pytest.mark.parametrize("bad", [{"overlap": 0.1}, {"max_points": 3}, {"min_area_px": -1}])
def test_detail_is_checked(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="but"):
        PolygonDetail(**bad)  # type: ignore[arg-type]


def test_no_mask_no_polygon() -> None:
    assert polygons_of_all([], []) == []
    assert polygons(MaskCrop(0, 0, np.zeros((0, 0), np.bool_)), PolygonDetail()) == []
    assert polygons(MaskCrop(0, 0, np.zeros((5, 4), np.bool_)), PolygonDetail()) == []


@given(st.lists(st.tuples(masks, st.floats(0.5, 1.0), st.integers(4, 80)), min_size=1, max_size=4))
def test_many_masks_at_once_get_the_polygons_of_each_alone(
    asked: list[tuple[np.ndarray, float, int]],
) -> None:
    crops = [MaskCrop(3, 5, pixels) for pixels, _, _ in asked]
    details = [PolygonDetail(overlap, most, min_area_px=0) for _, overlap, most in asked]
    together = polygons_of_all(crops, details)
    for rings, crop, detail in zip(together, crops, details, strict=True):
        for ring, alone in zip(rings, polygons(crop, detail), strict=True):
            np.testing.assert_array_equal(ring, alone)


@given(masks, st.data())
def test_a_chain_is_measured_as_defined(pixels: np.ndarray, data: st.DataObject) -> None:
    """Edge by edge: the shift balances, the error is the area beside the shifted chord."""
    rings = [part.outer for part in trace(MaskCrop(0, 0, pixels))]
    if not rings:
        return
    points = RingPoints(rings)
    outline = data.draw(st.sampled_from(points.start_outlines()))
    chain = data.draw(st.sampled_from(outline.in_order()))
    xy = np.column_stack([points.x, points.y])[chain.first : chain.last + 1]
    way = xy[-1] - xy[0]
    if not way.any():
        assert chain.shift == 0 and chain.error == pytest.approx(ring_area(xy))
        return
    along = (xy - xy[0]) @ way / np.hypot(*way)
    aside = (xy - xy[0]) @ [-way[1], way[0]] / np.hypot(*way)
    assert chain.shift == pytest.approx(np.trapezoid(aside, along) / along[-1])
    for line, error in ((0.0, chain.chord_error), (chain.shift, chain.error)):
        # By 1000 samples a step, since a step may cross the line.
        steps = [
            np.abs(np.linspace(a - line, b - line, 1000)).mean() * abs(v - u)
            for a, b, u, v in zip(aside[:-1], aside[1:], along[:-1], along[1:], strict=True)
        ]
        assert error == pytest.approx(sum(steps), rel=1e-3, abs=1e-2)
