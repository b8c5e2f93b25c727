"""The inner edge of a mask, on which Boundary IoU looks.

Mask IoU says little about the edges of large objects: their inside outweighs them. Boundary IoU
compares only the pixels within a distance of the outline, 2 % of the image's diagonal, and Boundary
AP takes the smaller of both IoUs. Source: Cheng and others, Boundary IoU, CVPR 2021.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

_SHARE_OF_DIAGONAL = 0.02


def boundary_width_px(width: int, height: int) -> int:
    """How far from the outline pixels count, in an image of that size."""
    return max(1, round(_SHARE_OF_DIAGONAL * math.hypot(width, height)))


def boundary(mask: npt.NDArray[np.uint8], width_px: int) -> npt.NDArray[np.uint8]:
    """The pixels of a mask u8 [h, w] (0 or 1) within `width_px` of what is outside it.

    The image's edge is an outline too. Distance is counted in steps to one of eight neighbours.
    """
    if not mask.any():
        return np.zeros_like(mask)
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    inside = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    padded = np.pad(mask[inside], 1)
    kernel = np.ones((3, 3), np.uint8)
    core = cv2.erode(padded, kernel, iterations=width_px, borderValue=0)
    edge = np.zeros_like(mask)
    edge[inside] = (padded - np.asarray(core, np.uint8))[1:-1, 1:-1]
    return edge


def boundary_of(encoded: Any, rle: Any) -> Any:
    """Run lengths of a mask -> run lengths of its boundary; `rle` is pycocotools.mask."""
    height, width = encoded["size"]
    edge = boundary(np.asarray(rle.decode(encoded), np.uint8), boundary_width_px(width, height))
    return rle.encode(np.asfortranarray(edge))
