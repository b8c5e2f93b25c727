"""Raw mask probabilities -> instance masks, computed only inside their boxes.

A mask is pasted as Detectron2 and torchvision paste it: fractional box, half-pixel centres
(align_corners=False), bilinear, above 0.5. Bilinear interpolation is separable, so that a paste is
two small matrix products, exact in f32, and a full-frame mask exists nowhere.
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
_BLOCK_PIXELS = 1 << 20  # rows are pasted in blocks, so that a 12-megapixel instance costs little


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
    x1, y1, x2, y2 = (float(v) for v in box_xyxy_px)
    left, right = _covered(x1, x2)
    top, bottom = _covered(y1, y2)
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
    x1, y1, x2, y2 = (float(v) for v in box_xyxy_px)
    left, right = _covered(x1, x2)
    top, bottom = _covered(y1, y2)
    if left >= right or top >= bottom:
        return MaskCrop(left, top, np.zeros((0, 0), np.bool_))
    rows, columns = cells.rows, cells.columns
    if frame == "box":
        # centre c of the image lies at cell (c - x1) / (x2 - x1) * columns - 0.5
        step_x, step_y = columns / (x2 - x1), rows / (y2 - y1)
        weights_x = _weights(left, right, step_x, -x1 * step_x - 0.5, columns, clamp=False)
        weights_y = _weights(top, bottom, step_y, -y1 * step_y - 0.5, rows, clamp=False)
    else:
        (step_x, start_x), (step_y, start_y) = _image_steps(geometry, rows, columns)
        weights_x = _weights(left, right, step_x, start_x, columns, clamp=True)
        weights_y = _weights(top, bottom, step_y, start_y, rows, clamp=True)
    height, width = cells.probabilities.shape
    weights_x = weights_x[:, cells.column : cells.column + width]
    weights_y = weights_y[:, cells.row : cells.row + height]
    pixels = np.empty((bottom - top, right - left), np.bool_)
    across = cells.probabilities @ weights_x.T
    block = max(1, _BLOCK_PIXELS // (right - left))
    for start in range(0, bottom - top, block):
        np.greater(
            weights_y[start : start + block] @ across, 0.5, out=pixels[start : start + block]
        )
    return MaskCrop(left, top, pixels).trimmed()


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


def _covered(low: float, high: float) -> tuple[int, int]:
    """The half-open range of pixels whose centre lies in [low, high)."""
    return math.ceil(low - 0.5), math.ceil(high - 0.5)


def _weights(start: int, stop: int, step: float, offset: float, cells: int, *, clamp: bool) -> F32:
    """Interpolation weights f32 [stop - start, cells] of pixel centres over the cells of one axis.

    Beyond the outer cells' centres there is 0, or with `clamp` the outer cell itself.
    """
    position = (np.arange(start, stop, dtype=np.float64) + 0.5) * step + offset
    if clamp:
        position = np.clip(position, 0.0, cells - 1.0)
    lower = np.floor(position).astype(np.int64)
    fraction = (position - lower).astype(np.float32)
    weights = np.zeros((stop - start, cells + 2), np.float32)  # one cell of nothing on each side
    row = np.arange(stop - start)
    weights[row, np.clip(lower + 1, 0, cells + 1)] += 1.0 - fraction
    weights[row, np.clip(lower + 2, 0, cells + 1)] += fraction
    return weights[:, 1:-1]
