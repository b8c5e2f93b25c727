"""A closer look: the model run on a part of the image, its result in pixels of the whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage

Window = tuple[int, int, int, int]
"""Left, top, right, bottom of a part of an image, in whole pixels."""

_SMALLEST_SIDE_PX = 64
_ROOM = 1.5  # of what is looked for, so that the window's edge does not cut it
_GRID = 16  # windows begin and end at multiples of it, so that near prompts share one


def window_around(
    focus_xyxy_px: tuple[float, float, float, float], share: float, width: int, height: int
) -> Window:
    """A window of `share` of the image's sides around the middle of `focus`, inside the image.

    It is larger where `focus`, with room around it, needs more.
    """
    left, top, right, bottom = focus_xyxy_px
    across = max(width * share, (right - left) * _ROOM, _SMALLEST_SIDE_PX)
    down = max(height * share, (bottom - top) * _ROOM, _SMALLEST_SIDE_PX)
    x1, x2 = _span((left + right) / 2, across, width)
    y1, y2 = _span((top + bottom) / 2, down, height)
    return x1, y1, x2, y2


def detect_within(
    engine: Engine, image: DecodedImage, window: Window, min_score: float, limit: int
) -> Detections:
    """What the model finds in the window alone, in pixels of the whole image.

    Instances that the window's own edge cuts are left out. Raises InferenceError.
    """
    x1, y1, x2, y2 = window
    part = DecodedImage(np.ascontiguousarray(image.pixels[y1:y2, x1:x2]), 1, image.digest)
    found = engine.candidates(part, min_score, limit).detections(min_score, limit)
    whole = _moved(found, x1, y1, image.width, image.height)
    kept = [i for i in range(len(whole)) if not _is_cut(whole, i, window)]
    return picked(whole, kept)


def joined(a: Detections, b: Detections) -> Detections:
    """The instances of both, of the same image, best first."""
    order = np.argsort(-np.concatenate([a.scores, b.scores]), kind="stable")
    masks = None
    if a.masks is not None and b.masks is not None:
        both = [*a.masks, *b.masks]
        masks = tuple(both[i] for i in order)
    return Detections(
        a.width,
        a.height,
        np.concatenate([a.boxes_xyxy_px, b.boxes_xyxy_px])[order],
        np.concatenate([a.scores, b.scores])[order],
        np.concatenate([a.labels, b.labels])[order],
        masks,
    )


def picked(found: Detections, indices: list[int]) -> Detections:
    """Some of the instances, in their order."""
    masks = found.masks
    return replace(
        found,
        boxes_xyxy_px=found.boxes_xyxy_px[indices],
        scores=found.scores[indices],
        labels=found.labels[indices],
        masks=None if masks is None else tuple(masks[i] for i in indices),
    )


def _span(middle: float, length: float, size: int) -> tuple[int, int]:
    if length >= size:
        return 0, size
    start = min(max(middle - length / 2, 0.0), size - length)
    first = int(start // _GRID) * _GRID
    return first, min(size, math.ceil((start + length) / _GRID) * _GRID)


def _moved(found: Detections, x: int, y: int, width: int, height: int) -> Detections:
    boxes = found.boxes_xyxy_px + np.array([x, y, x, y], np.float32)
    masks = found.masks
    if masks is not None:
        masks = tuple(MaskCrop(mask.x + x, mask.y + y, mask.pixels) for mask in masks)
    return Detections(width, height, boxes, found.scores, found.labels, masks)


def _is_cut(found: Detections, i: int, window: Window) -> bool:
    """Whether an instance ends at an edge of the window that is not the image's own."""
    left, top, right, bottom = found.boxes_xyxy_px[i].tolist()
    return bool(
        (window[0] > 0 and left < window[0] + 1)
        or (window[1] > 0 and top < window[1] + 1)
        or (window[2] < found.width and right > window[2] - 1)
        or (window[3] < found.height and bottom > window[3] - 1)
    )
