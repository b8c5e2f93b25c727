"""Outlines of large masks at a fraction of their pixels.

A mask of 28x28 cells that fills a thousand pixels has nothing to say about each of them, and a
polygon that may leave out 4 % of its area does not ask. So it is drawn in squares of several
pixels. Their stairs are as often too large as too small; a polygon goes through between them, so
that what it errs against the stairs is, but for the rounding, no less than against the mask.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import numpy.typing as npt

from backend.runtime.contract import MaskFrame
from backend.runtime.detections import MaskCrop
from backend.runtime.masks import (
    MaskCells,
    cell_size_px,
    covered_pixels,
    paste_cells,
    sketch_cells,
)
from backend.runtime.polygons import PolygonDetail, polygons_of_all
from backend.runtime.resize import ResizeGeometry

F64 = npt.NDArray[np.float64]
_MOST_WRONG = 0.05  # share of the area that a polygon errs by, however coarse it may be
_SQUARES_IN_A_CELL = 4  # a side, at the least: what lies between cells is smooth


@dataclass(frozen=True, eq=False)
class Sketch:
    """A mask in squares of `step` x `step` pixels of the image.

    `mask`: counted in squares from the pixel (`left`, `top`); no square counts beyond the pixels
    before `right` and `bottom`.
    """

    mask: MaskCrop
    step: int
    left: int
    top: int
    right: int
    bottom: int


class MasksOnDemand(Sequence[MaskCrop]):
    """Masks that are pasted when somebody looks at them, each once."""

    def __init__(
        self,
        cells: Sequence[MaskCells],
        boxes_xyxy_px: npt.NDArray[np.float32],
        geometry: ResizeGeometry,
        frame: MaskFrame,
    ) -> None:
        """`cells`: as `cut_mask` gives them for the boxes f32 [N, 4] in pixels of the image."""
        self._cells = cells
        self._boxes = boxes_xyxy_px
        self._geometry = geometry
        self._frame: MaskFrame = frame
        self._pasted: dict[int, MaskCrop] = {}

    def __len__(self) -> int:
        return len(self._cells)

    @overload
    def __getitem__(self, index: int) -> MaskCrop: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[MaskCrop, ...]: ...

    def __getitem__(self, index: int | slice) -> MaskCrop | tuple[MaskCrop, ...]:
        places = range(len(self))[index]
        if isinstance(places, range):
            return tuple(self._paste(i) for i in places)
        return self._paste(places)

    def __iter__(self) -> Iterator[MaskCrop]:
        return (self._paste(i) for i in range(len(self)))

    def sketch(self, i: int, overlap: float) -> Sketch | None:
        """Mask `i` as coarse as a polygon of this overlap may see it; None for the mask itself."""
        step = self._step(i, overlap)
        if step < 2:
            return None
        box = self._boxes[i]
        mask = sketch_cells(self._cells[i], box, self._geometry, self._frame, step)
        # What a square's middle does not see may still be some pixels.
        return Sketch(mask, step, *covered_pixels(box)) if mask.pixels.size else None

    def _paste(self, i: int) -> MaskCrop:
        if i not in self._pasted:
            self._pasted[i] = paste_cells(
                self._cells[i], self._boxes[i], self._geometry, self._frame
            )
        return self._pasted[i]

    def _step(self, i: int, overlap: float) -> int:
        """So many pixels that the polygon may be off by one square everywhere, and no more than
        a fraction of a cell."""
        cells, box = self._cells[i], self._boxes[i]
        width, height = cell_size_px(cells, box, self._geometry, self._frame)
        most = min(width, height) / _SQUARES_IN_A_CELL
        if most < 2:
            return 1
        inside = np.pad(cells.probabilities > 0.5, 1)
        if not inside.any():
            return 1
        upright = np.count_nonzero(inside[:, 1:] != inside[:, :-1])
        level = np.count_nonzero(inside[1:] != inside[:-1])
        area = np.count_nonzero(inside) * width * height
        wrong = min(1 - overlap, _MOST_WRONG) * area
        off = wrong / (upright * height + level * width)
        return int(min(off, most))


def polygons_of(
    masks: Sequence[MaskCrop], indices: Sequence[int], details: Sequence[PolygonDetail]
) -> list[list[F64]]:
    """The polygons of `masks[i]` for each of `indices`, as `polygons_of_all` draws them, from
    sketches where the masks can be sketched."""
    drawn: list[MaskCrop] = []
    scaled: list[PolygonDetail] = []
    sketches: list[Sketch | None] = []
    for i, detail in zip(indices, details, strict=True):
        sketch = masks.sketch(i, detail.overlap) if isinstance(masks, MasksOnDemand) else None
        sketches.append(sketch)
        drawn.append(masks[i] if sketch is None else sketch.mask)
        squares = 1 if sketch is None else sketch.step**2
        scaled.append(replace(detail, min_area_px=detail.min_area_px / squares))
    return [
        rings if sketch is None else [_in_pixels(ring, sketch) for ring in rings]
        for rings, sketch in zip(polygons_of_all(drawn, scaled), sketches, strict=True)
    ]


def _in_pixels(ring: F64, sketch: Sketch) -> F64:
    corner = np.array([sketch.left, sketch.top], np.float64)
    limit = np.array([sketch.right, sketch.bottom], np.float64)
    return np.clip(ring * sketch.step + corner, corner, limit)
