"""Polygon -> pixels, exactly as pycocotools does it (common/maskApi.c, rleFrPoly).

The rule: corners are rounded to fifths of a pixel and edges are walked in such steps; a column's
middle is crossed between the fifths 5x + 2 and 5x + 3, and there the mask begins or ends at the
row that follows. So each pixel whose centre lies within counts, up to a tenth of a pixel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop

_FIFTHS = 5
I64 = npt.NDArray[np.int64]


def rasterise_polygon(points_px: npt.NDArray[np.float64], width: int, height: int) -> MaskCrop:
    """The pixels of a closed polygon [n, 2] (x, y as pixel edges) within an image of that size.

    Where the outline crosses itself, areas that it runs around twice are left out (even-odd), as
    are the holes of keyhole polygons. Fewer than three points, or none inside, give an empty mask.
    Raises ValueError for points of another shape, or that are not finite.
    """
    points = np.asarray(points_px, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon must be finite points [n, 2], but got {points.shape}")
    if len(points) < 3:
        return _nothing()
    # No image is that large, and fifths of it still are whole numbers.
    points = np.clip(points, -4.0 * max(width, height), 5.0 * max(width, height))
    columns, rows = _crossings(*_outline(points), width, height)
    if not columns.size:
        return _nothing()
    left, top = int(columns.min()), int(rows.min())
    crossed = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), np.uint8)
    np.bitwise_xor.at(crossed, (rows - top, columns - left), 1)
    pixels = np.bitwise_xor.accumulate(crossed[:-1], axis=0)
    return MaskCrop(left, top, pixels.view(np.bool_)).trimmed()


def union(masks: list[MaskCrop]) -> MaskCrop:
    """All pixels of any of them, in the smallest crop."""
    crops = [mask.trimmed() for mask in masks]
    crops = [crop for crop in crops if crop.pixels.size]
    if not crops:
        return _nothing()
    left, top = min(c.x for c in crops), min(c.y for c in crops)
    right = max(c.x + c.pixels.shape[1] for c in crops)
    bottom = max(c.y + c.pixels.shape[0] for c in crops)
    pixels = np.zeros((bottom - top, right - left), np.bool_)
    for crop in crops:
        rows, columns = crop.pixels.shape
        y, x = crop.y - top, crop.x - left
        pixels[y : y + rows, x : x + columns] |= crop.pixels
    return MaskCrop(left, top, pixels)


def _nothing() -> MaskCrop:
    return MaskCrop(0, 0, np.zeros((0, 0), np.bool_))


def _outline(points: npt.NDArray[np.float64]) -> tuple[I64, I64]:
    """All fifths of a pixel that the outline passes, in its order: x, y."""
    corners = np.trunc(points * _FIFTHS + 0.5).astype(np.int64)
    starts, ends = corners, np.roll(corners, -1, axis=0)
    steps = np.abs(ends - starts)
    is_flat = steps[:, 0] >= steps[:, 1]
    along = np.where(is_flat, 0, 1)  # the axis that changes by one a step
    each = np.arange(len(corners))
    is_backward = starts[each, along] > ends[each, along]
    low = np.where(is_backward[:, None], ends, starts)
    high = np.where(is_backward[:, None], starts, ends)
    count = steps[each, along]
    rise = (high - low)[each, 1 - along] / np.maximum(count, 1)
    edge = np.repeat(each, count + 1)
    step = np.arange(len(edge)) - np.repeat(np.cumsum(count + 1) - count - 1, count + 1)
    step = np.where(is_backward[edge], count[edge] - step, step)
    main = low[each, along][edge] + step
    other = np.trunc(low[each, 1 - along][edge] + rise[edge] * step + 0.5).astype(np.int64)
    return np.where(is_flat[edge], main, other), np.where(is_flat[edge], other, main)


def _crossings(x_fifths: I64, y_fifths: I64, width: int, height: int) -> tuple[I64, I64]:
    """Columns whose middle the outline crosses, and the rows from which on that counts."""
    moved = np.flatnonzero(np.diff(x_fifths))
    before, after = x_fifths[moved], x_fifths[moved + 1]
    crossed = np.minimum(before, after)
    # crossed = 5 * column + 2
    column, rest = np.divmod(crossed - _FIFTHS // 2, _FIFTHS)
    inside = (rest == 0) & (column >= 0) & (column <= width - 1)
    y = np.minimum(y_fifths[moved], y_fifths[moved + 1])[inside]
    row = np.ceil(np.clip((y + 0.5) / _FIFTHS - 0.5, 0, height)).astype(np.int64)
    return column[inside], row
