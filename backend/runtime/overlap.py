"""How much two boxes, or two masks, have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop

Boxes = npt.NDArray[np.floating]
_AT_ONCE = 1 << 18  # pairs; each takes some 100 bytes meanwhile


def box_ious(a: Boxes, b: Boxes) -> npt.NDArray[np.float64]:
    """IoU [N, M] of boxes [N, 4] and [M, 4] (x1, y1, x2, y2); 0 for boxes without area."""
    low = np.maximum(a[:, None, :2], b[None, :, :2]).astype(np.float64)
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    inner = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = [np.prod(np.clip(x[:, 2:] - x[:, :2], 0, None), axis=1) for x in (a, b)]
    union = areas[0][:, None] + areas[1][None] - inner
    return np.asarray(np.divide(inner, union, out=np.zeros_like(inner), where=union > 0))


def near_boxes(a: Boxes, b: Boxes, least: float) -> Iterator[tuple[int, int, float]]:
    """Indexes and IoU of the pairs of boxes [N, 4] and [M, 4] with an IoU of `least` (above 0) or
    more, in order; memory does not grow with N x M."""
    rows = max(1, _AT_ONCE // max(1, len(b)))
    for start in range(0, len(a), rows):
        ious = box_ious(a[start : start + rows], b)
        for i, j in np.argwhere(ious >= least).tolist():
            yield start + i, j, float(ious[i, j])


def mask_iou(a: MaskCrop, b: MaskCrop) -> float:
    """IoU of two masks in the same image; 1 where both are empty."""
    area_a, area_b = a.area, b.area
    left, top = max(a.x, b.x), max(a.y, b.y)
    right = min(a.x + a.pixels.shape[1], b.x + b.pixels.shape[1])
    bottom = min(a.y + a.pixels.shape[0], b.y + b.pixels.shape[0])
    inner = 0
    if left < right and top < bottom:
        cut_a, cut_b = (
            m.pixels[top - m.y : bottom - m.y, left - m.x : right - m.x] for m in (a, b)
        )
        inner = int(np.count_nonzero(cut_a & cut_b))
    union = area_a + area_b - inner
    return inner / union if union else 1.0
