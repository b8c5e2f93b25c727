"""Masks and detections in COCO's result format, without pycocotools.

COCO's compressed run lengths: runs of the mask in column order, from background on; each count as
its difference to the count two before, written in 5-bit groups as printable characters
(https://github.com/cocodataset/cocoapi, common/maskApi.c, rleToString).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.runtime.detections import Detections, MaskCrop


def encode_coco(mask: MaskCrop, width: int, height: int) -> dict[str, Any]:
    """`{"size": [height, width], "counts": str}` of a mask within an image of that size."""
    return {"size": [height, width], "counts": _compress(_counts(mask, width, height))}


def coco_results(
    found: Detections, image_id: int, category_ids: tuple[int | None, ...]
) -> list[dict[str, Any]]:
    """One COCO result a detection; boxes are x, y, width, height in pixels.

    `category_ids`: by label index; detections of a label with None are left out.
    """
    results = []
    for i in range(len(found)):
        category = category_ids[int(found.labels[i])]
        if category is None:
            continue
        x1, y1, x2, y2 = (float(v) for v in found.boxes_xyxy_px[i])
        result: dict[str, Any] = {
            "image_id": image_id,
            "category_id": category,
            "bbox": [round(x1, 3), round(y1, 3), round(x2 - x1, 3), round(y2 - y1, 3)],
            "score": round(float(found.scores[i]), 6),
        }
        if found.masks is not None:
            result["segmentation"] = encode_coco(found.masks[i], found.width, found.height)
        results.append(result)
    return results


def _counts(mask: MaskCrop, width: int, height: int) -> list[int]:
    """Run lengths in column order, background first (maybe 0)."""
    rows, columns = mask.pixels.shape
    padded = np.zeros((columns, rows + 2), np.int8)
    padded[:, 1:-1] = mask.pixels.T
    change = np.diff(padded, axis=1)
    column, start = np.nonzero(change == 1)
    _, stop = np.nonzero(change == -1)
    base = (column + mask.x) * height + mask.y
    borders = np.column_stack([base + start, base + stop]).ravel()
    # A run that reaches the bottom goes on in the next column: both borders fall away.
    meets = np.flatnonzero(borders[2::2] == borders[1:-1:2])
    borders = np.delete(borders, np.concatenate([2 * meets + 1, 2 * meets + 2]))
    counts: list[int] = np.diff(np.concatenate([[0], borders, [width * height]])).tolist()
    if counts and counts[-1] == 0:
        counts.pop()
    return counts


def _compress(counts: list[int]) -> str:
    out = bytearray()
    for i, count in enumerate(counts):
        value = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            group = value & 0x1F
            value >>= 5
            more = value != -1 if group & 0x10 else value != 0
            out.append((group | 0x20 if more else group) + 48)
    return out.decode("ascii")
