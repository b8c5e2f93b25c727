"""Raw mask probabilities -> instance masks, computed only inside their boxes.

A mask is pasted as Detectron2 and torchvision paste it: fractional box, half-pixel centres
(align_corners=False), bilinear, above 0.5, and a full-frame mask exists nowhere. Bilinear
interpolation is separable: first each row of cells is stretched across, then pixels lie between two
such rows. No matrix product, since BLAS splits even small ones over all cores, which cost ten times
the work while a model computes there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.runtime.contract import MaskFrame
from backend.runtime.detections import MaskCrop
from backend.runtime.resize import ResizeGeometry

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
_ONE = np.float32(1)
_SMALL_PIXELS = 1 << 16  # up to here, looking at every pixel is faster than looking for the border


@dataclass(frozen=True, eq=False)
class MaskCells:
    """The cells of a raw mask that one instance needs.

    `probabilities` f32 [h, w], its first cell at (`row`, `column`) of a mask of `rows` x `columns`.
    """

    probabilities: F32
    row: int
    column: int
    rows: int
    columns: int

    def __post_init__(self) -> None:
        p = self.probabilities
        if p.ndim != 2 or p.dtype != np.float32:
            raise ValueError(f"mask cells must be f32 [h, w], but got {p.dtype} {p.shape}")
        h, w = p.shape
        if not (0 <= self.row <= self.rows - h and 0 <= self.column <= self.columns - w):
            raise ValueError(
                f"cells {h}x{w} at {self.row}, {self.column} are not within a mask of "
                f"{self.rows}x{self.columns}"
            )


def cut_mask(
    probabilities: F32, box_xyxy_px: F32, geometry: ResizeGeometry, frame: MaskFrame
) -> MaskCells:
    """The cells that `paste_cells` looks at: all of them with frame 'box', else those at the box.

    Arguments as for `paste_mask`.
    """
    rows, columns = probabilities.shape
    if frame == "box":
        return MaskCells(probabilities, 0, 0, rows, columns)
    left, top, right, bottom = covered_pixels(box_xyxy_px)
    if left >= right or top >= bottom:
        return MaskCells(np.zeros((0, 0), np.float32), 0, 0, rows, columns)
    (step_x, start_x), (step_y, start_y) = _image_steps(geometry, rows, columns)
    column, last_column = _touched(left, right, step_x, start_x, columns)
    row, last_row = _touched(top, bottom, step_y, start_y, rows)
    cells = probabilities[row : last_row + 1, column : last_column + 1]
    return MaskCells(np.ascontiguousarray(cells), row, column, rows, columns)


def paste_mask(
    probabilities: F32, box_xyxy_px: F32, geometry: ResizeGeometry, frame: MaskFrame
) -> MaskCrop:
    """One instance's mask in the image.

    `probabilities` f32 [h, w]; `box_xyxy_px` f32 [4] in pixels of the image, within it. With frame
    'box' the mask fills the box, and outside it is nothing; with 'image' it covers the model input.
    Pixels count whose centre is inside the box.
    """
    cells = cut_mask(probabilities, box_xyxy_px, geometry, frame)
    return paste_cells(cells, box_xyxy_px, geometry, frame)


def paste_cells(
    cells: MaskCells, box_xyxy_px: F32, geometry: ResizeGeometry, frame: MaskFrame
) -> MaskCrop:
    """As `paste_mask`, from the cells that `cut_mask` gave for the same box."""
    left, top, right, bottom = covered_pixels(box_xyxy_px)
    if left >= right or top >= bottom:
        return MaskCrop(left, top, np.zeros((0, 0), np.bool_))
    axes = _axes(cells, box_xyxy_px, geometry, frame)
    return _drawn(cells, axes, (left, top), _centres(left, right, 1), _centres(top, bottom, 1))


def sketch_cells(
    cells: MaskCells, box_xyxy_px: F32, geometry: ResizeGeometry, frame: MaskFrame, step: int
) -> MaskCrop:
    """As `paste_cells`, but one pixel for each square of `step` x `step` pixels, by its middle.

    The crop's `x` and `y` count squares from the first pixel that `covered_pixels` gives.
    """
    left, top, right, bottom = covered_pixels(box_xyxy_px)
    if left >= right or top >= bottom:
        return MaskCrop(0, 0, np.zeros((0, 0), np.bool_))
    axes = _axes(cells, box_xyxy_px, geometry, frame)
    return _drawn(cells, axes, (0, 0), _centres(left, right, step), _centres(top, bottom, step))


def covered_pixels(box_xyxy_px: F32) -> tuple[int, int, int, int]:
    """First and last column and row (left, top, right, bottom; half-open) of the pixels whose
    centre is inside a box."""
    x1, y1, x2, y2 = (math.ceil(float(v) - 0.5) for v in box_xyxy_px)
    return x1, y1, x2, y2


def cell_size_px(
    cells: MaskCells, box_xyxy_px: F32, geometry: ResizeGeometry, frame: MaskFrame
) -> tuple[float, float]:
    """Width and height of a mask's cell in pixels of the image. The box must have an area."""
    across, down = _axes(cells, box_xyxy_px, geometry, frame)
    return 1 / across.step, 1 / down.step


@dataclass(frozen=True)
class _Axis:
    """Position c of the image lies at cell c * `step` + `start` of `cells`; `first` of them are
    not there. With `clamp` the outer cells go on for ever, else there is nothing beyond them."""

    step: float
    start: float
    cells: int
    first: int
    clamp: bool


def _axes(
    cells: MaskCells, box_xyxy_px: F32, geometry: ResizeGeometry, frame: MaskFrame
) -> tuple[_Axis, _Axis]:
    """Across and down."""
    x1, y1, x2, y2 = (float(v) for v in box_xyxy_px)
    rows, columns = cells.rows, cells.columns
    clamp = frame == "image"
    if clamp:
        (step_x, start_x), (step_y, start_y) = _image_steps(geometry, rows, columns)
    else:
        # centre c of the image lies at cell (c - x1) / (x2 - x1) * columns - 0.5
        step_x, step_y = columns / (x2 - x1), rows / (y2 - y1)
        start_x, start_y = -x1 * step_x - 0.5, -y1 * step_y - 0.5
    return (
        _Axis(step_x, start_x, columns, cells.column, clamp),
        _Axis(step_y, start_y, rows, cells.row, clamp),
    )


def _centres(start: int, stop: int, step: int) -> F64:
    """Of squares of `step` pixels side by side, as far as they are within `start` to `stop`."""
    squares = np.arange(int((stop - start) / step + 0.5), dtype=np.float64)
    return start + (squares + 0.5) * step


def _drawn(
    cells: MaskCells, axes: tuple[_Axis, _Axis], corner: tuple[int, int], xs: F64, ys: F64
) -> MaskCrop:
    """The mask at the columns `xs` and rows `ys`, ascending; its first would be at `corner`."""
    height, width = cells.probabilities.shape
    column, part_x = _places(xs, axes[0], width)
    row, part_y = _places(ys, axes[1], height)
    # One cell of nothing on each side; indices count from it.
    padded = np.zeros((height + 2, width + 2), np.float32)
    padded[1:-1, 1:-1] = cells.probabilities
    across = padded.take(column, axis=1) * (_ONE - part_x)
    across += padded.take(column + 1, axis=1) * part_x
    nothing = MaskCrop(*corner, np.zeros((0, 0), np.bool_))
    shown = (across > 0.5).any(axis=0).nonzero()[0]
    if shown.size == 0:
        return nothing
    # Without the columns of nothing, trimming leaves out rows only, which takes no copy.
    first, last = int(shown[0]), int(shown[-1]) + 1
    across = np.ascontiguousarray(across[:, first:last])
    is_small = len(row) * (last - first) <= _SMALL_PIXELS
    fill = _pixels_of_all if is_small else _pixels_by_border
    pixels = fill(across, row, part_y[:, np.newaxis])
    crop = MaskCrop(corner[0] + first, corner[1], pixels).trimmed()
    return crop if crop.pixels.size else nothing


def _pixels_of_all(across: F32, row: I64, part: F32) -> npt.NDArray[np.bool_]:
    """Pixels bool [h, w] of the stretched rows [n, w]: pixel row i lies `part[i]` of the way from
    `row[i]`, ascending, to the next one."""
    values = across.take(row, axis=0) * (_ONE - part)
    values += across.take(row + 1, axis=0) * part
    return values > 0.5


def _pixels_by_border(across: F32, row: I64, part: F32) -> npt.NDArray[np.bool_]:
    """As `_pixels_of_all`, but values are computed only where the rows above and below differ:
    between two that are both inside, or both outside, so is everything."""
    inside = across > 0.5
    # `take` copies whole rows, sixteen times as fast as an index.
    pixels = np.take(inside[:-1] & inside[1:], row, axis=0)
    differs = np.zeros((len(inside) - 1, across.shape[1] + 2), np.int8)
    differs[:, 1:-1] = inside[:-1] ^ inside[1:]
    of_row, borders = np.nonzero(np.diff(differs, axis=1))
    of_row_from = np.searchsorted(of_row, np.arange(len(inside))).tolist()
    stops = np.append(np.flatnonzero(np.diff(row)) + 1, len(row))
    start = 0
    for stop in stops.tolist():
        above = int(row[start])
        lower, upper = part[start:stop], _ONE - part[start:stop]
        here = borders[of_row_from[above] : of_row_from[above + 1]].tolist()
        for first, last in zip(here[::2], here[1::2], strict=True):
            values = across[above, first:last] * upper
            values += across[above + 1, first:last] * lower
            np.greater(values, 0.5, out=pixels[start:stop, first:last])
        start = stop
    return pixels


def _image_steps(
    geometry: ResizeGeometry, rows: int, columns: int
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Across and down: cells of a mask over the model input per pixel of the image, and the cell
    at which the image's edge lies."""
    cells_x, cells_y = columns / geometry.input_width, rows / geometry.input_height
    return (
        (geometry.scale_x * cells_x, geometry.offset_x * cells_x - 0.5),
        (geometry.scale_y * cells_y, geometry.offset_y * cells_y - 0.5),
    )


def _touched(start: int, stop: int, step: float, offset: float, cells: int) -> tuple[int, int]:
    """First and last cell that pixels `start` to `stop` - 1 have a weight for, clamped."""
    first = math.floor(min(max((start + 0.5) * step + offset, 0.0), cells - 1.0))
    last = math.floor(min(max((stop - 0.5) * step + offset, 0.0), cells - 1.0))
    return first, min(last + 1, cells - 1)


def _places(centres: F64, axis: _Axis, cells: int) -> tuple[I64, F32]:
    """Of each centre the cell before it, counted from the one of nothing before the first of
    `cells`, and the way to the next, 0..1."""
    position = centres * axis.step + axis.start
    if axis.clamp:
        position = np.clip(position, 0.0, axis.cells - 1.0)
    before = np.floor(position)
    index = np.minimum(np.maximum(before.astype(np.int64) + (1 - axis.first), 0), cells)
    return index, (position - before).astype(np.float32)
