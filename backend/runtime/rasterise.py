"""Polygon -> pixels, as pycocotools does it (common/maskApi.c, rleFrPoly).

The rule: corners are rounded to fifths of a pixel and edges are walked in such steps; a column's
middle is crossed between the fifths 5x + 2 and 5x + 3, and there the mask begins or ends at the
row that follows. So each pixel whose centre lies within counts, up to a tenth of a pixel.

No edge is walked here: each column's step is computed, so that what lies outside costs nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop

_FIFTHS = 5
_FARTHEST_PX = 1e8  # in fifths, the 32-bit numbers of pycocotools still hold it
_MOST_CROSSINGS = 16_000_000  # a dozen times those of 1000 edges across a photo of 12 megapixels
_AT_ONCE = 1 << 18  # crossings; each takes some 100 bytes meanwhile
I64 = npt.NDArray[np.int64]


def rasterise_polygon(points_px: npt.NDArray[np.float64], width: int, height: int) -> MaskCrop:
    """The pixels of a closed polygon [n, 2] (x, y as pixel edges) within an image of that size.

    Where the outline crosses itself, areas that it runs around twice are left out (even-odd), as
    are the holes of keyhole polygons. Fewer than three points, or none inside, give an empty mask.
    Time grows with the columns that edges cross within the image, memory with the polygon's box.
    Raises ValueError for points of another shape, or that are not finite, or for an outline that
    runs to and fro across millions of columns.
    """
    points = np.asarray(points_px, np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"a polygon must be finite points [n, 2], but got {points.shape}")
    if len(points) < 3:
        return _nothing()
    points = np.clip(points, -_FARTHEST_PX, _FARTHEST_PX)
    edges = _Edges.of(points, width)
    if edges.total > _MOST_CROSSINGS:
        raise ValueError(
            f"the outline crosses columns of pixels {edges.total} times, more than "
            f"{_MOST_CROSSINGS} times"
        )
    if not edges.total:
        return _nothing()
    left, right = int(edges.first.min()), int(edges.last.max())
    top, bottom = edges.rows(height)
    crossed = np.zeros((bottom - top + 1, right - left + 1), np.uint8)
    for columns, rows in edges.crossings(height):
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


@dataclass(frozen=True, eq=False)
class _Edges:
    """Edges that cross the middle of a column within the image, one number each.

    low, high    x, y in fifths [n, 2], in the order in which pycocotools walks: along the longer
                 side, upwards
    is_flat      whether that is x
    first, last  columns that they cross
    """

    low: I64
    high: I64
    is_flat: npt.NDArray[np.bool_]
    first: I64
    last: I64

    @classmethod
    def of(cls, points: npt.NDArray[np.float64], width: int) -> _Edges:
        starts = np.trunc(points * _FIFTHS + 0.5).astype(np.int64)
        ends = np.roll(starts, -1, axis=0)
        steps = np.abs(ends - starts)
        is_flat = steps[:, 0] >= steps[:, 1]
        is_backward = np.where(is_flat, starts[:, 0] > ends[:, 0], starts[:, 1] > ends[:, 1])
        low = np.where(is_backward[:, None], ends, starts)
        high = np.where(is_backward[:, None], starts, ends)
        left, right = np.minimum(starts, ends)[:, 0], np.maximum(starts, ends)[:, 0]
        # From 5 * column + 2 to 5 * column + 3.
        first = np.maximum(-((2 - left) // _FIFTHS), 0)
        last = np.minimum((right - 3) // _FIFTHS, width - 1)
        kept = first <= last
        return cls(low[kept], high[kept], is_flat[kept], first[kept], last[kept])

    @property
    def total(self) -> int:
        return int((self.last - self.first + 1).sum())

    def rows(self, height: int) -> tuple[int, int]:
        """The least and the greatest row that a crossing can give."""
        y = np.array([min(self.low[:, 1].min(), self.high[:, 1].min()) - 1,
                      max(self.low[:, 1].max(), self.high[:, 1].max()) + 1])  # fmt: skip
        top, bottom = _row(y, height).tolist()
        return top, bottom

    def crossings(self, height: int) -> Iterator[tuple[I64, I64]]:
        """Columns whose middle is crossed, and the rows from which on that counts."""
        counts = self.last - self.first + 1
        behind = np.cumsum(counts)
        for start in range(0, int(behind[-1]), _AT_ONCE):
            number = np.arange(start, min(start + _AT_ONCE, int(behind[-1])))
            edge = np.searchsorted(behind, number, side="right")
            column = self.first[edge] + number - (behind[edge] - counts[edge])
            yield column, _row(self._y(edge, column), height)

    def _y(self, edge: I64, column: I64) -> I64:
        """The lesser y, in fifths, of the two steps between which a column's middle lies."""
        low, high = self.low[edge], self.high[edge]
        before = column * _FIFTHS + _FIFTHS // 2
        flat = self.is_flat[edge]
        across, down = (high - low).T
        # Flat: x is the step.
        rise = down / np.maximum(across, 1)
        step = before - low[:, 0]
        y = np.minimum(_step(low[:, 1], rise, step), _step(low[:, 1], rise, step + 1))
        # Steep: the last step before x changes from the one fifth to the other.
        lean = across / np.maximum(down, 1)
        is_right = across > 0
        target = before + is_right  # x at the step that is looked for, which is the later one
        guess = np.ceil((target - 0.5 + ~is_right - low[:, 0]) / np.where(across, lean, 1))
        step = np.clip(guess.astype(np.int64), 1, np.maximum(down, 1))
        for _ in range(2):  # rounding may be off by one
            step = step - (_has_passed(low, lean, step - 1, target, is_right) & (step > 1))
        for _ in range(2):
            step = step + (~_has_passed(low, lean, step, target, is_right) & (step < down))
        return np.where(flat, y, low[:, 1] + step - 1)


def _has_passed(
    low: I64, lean: npt.NDArray[np.float64], step: I64, target: I64, is_right: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    x = _step(low[:, 0], lean, step)
    return np.where(is_right, x >= target, x <= target)


def _step(start: I64, rise: npt.NDArray[np.float64], step: I64) -> I64:
    return np.trunc(start + rise * step + 0.5).astype(np.int64)


def _row(y_fifths: I64, height: int) -> I64:
    return np.ceil(np.clip((y_fifths + 0.5) / _FIFTHS - 0.5, 0, height)).astype(np.int64)
