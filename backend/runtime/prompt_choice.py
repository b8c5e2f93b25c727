"""Which of a model's instances a person points at."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from backend.runtime.detections import Detections

Box = tuple[float, float, float, float]

_LEAST_OVERLAP = 0.5  # of a box prompt, below which a closer look is worth an inference
_SMALL_SHARE = 0.01  # of the image, below which a closer look finds better masks
_LABEL_WORTH = 0.1  # in overlap


@dataclass(frozen=True)
class PixelPrompts:
    """Prompts in pixels of the image, as edge coordinates.

    points   x, y, and whether the object is there
    boxes    left, top, right, bottom; the object fills them
    labels   model labels that the person means; empty where any may be meant
    """

    points: tuple[tuple[float, float, bool], ...] = ()
    boxes: tuple[Box, ...] = ()
    labels: frozenset[int] = frozenset()

    @property
    def focus(self) -> Box:
        """The smallest box around all that says where the object is."""
        spots = [(x, y, x, y) for x, y, positive in self.points if positive]
        left, top, right, bottom = zip(*(spots + list(self.boxes)), strict=True)
        return min(left), min(top), max(right), max(bottom)


@dataclass(frozen=True)
class Choice:
    """An instance that may be meant.

    index      among the detections
    points     share of the points that agree with its mask, 1 where there is none
    overlap    mean IoU of its box with the prompts' boxes, 1 where there is none
    is_meant   whether its label may be meant
    share      of the image that its box covers
    score      of the model
    """

    index: int
    points: float
    overlap: float
    is_meant: bool
    share: float
    score: float

    @property
    def rank(self) -> tuple[float, ...]:
        """Points first, then the box, the label, the score; of equals the smaller one.

        The order was measured with clicks and boxes on photos (benchmarks/prompts.py).
        """
        overlap = self.overlap + _LABEL_WORTH * self.is_meant
        return self.points, overlap, self.score / max(self.share, 1e-6) ** 0.125

    @property
    def is_sure(self) -> bool:
        """Whether a closer look is not worth an inference."""
        meets = self.points == 1.0 and self.overlap >= _LEAST_OVERLAP
        return meets and self.is_meant and self.share >= _SMALL_SHARE


def choose_instance(found: Detections, prompts: PixelPrompts) -> Choice | None:
    """The instance that is meant most likely; None where none meets any prompt.

    One that misses a positive point is no answer where there are no boxes.
    """
    choices = [
        choice
        for choice in (_look_at(found, i, prompts) for i in range(len(found)))
        if choice.points > 0 and choice.overlap > 0
    ]
    if prompts.points and not prompts.boxes:
        choices = [choice for choice in choices if _holds_one(found, choice.index, prompts)]
    return max(choices, key=lambda choice: choice.rank, default=None)


def _look_at(found: Detections, i: int, prompts: PixelPrompts) -> Choice:
    box = found.boxes_xyxy_px[i].tolist()
    agree = [_is_inside(found, i, x, y) == positive for x, y, positive in prompts.points]
    overlaps = [_iou(box, other) for other in prompts.boxes]
    area = max(box[2] - box[0], 0.0) * max(box[3] - box[1], 0.0)
    return Choice(
        i,
        sum(agree) / len(agree) if agree else 1.0,
        sum(overlaps) / len(overlaps) if overlaps else 1.0,
        not prompts.labels or int(found.labels[i]) in prompts.labels,
        area / (found.width * found.height),
        float(found.scores[i]),
    )


def _holds_one(found: Detections, i: int, prompts: PixelPrompts) -> bool:
    return any(_is_inside(found, i, x, y) for x, y, positive in prompts.points if positive)


def _is_inside(found: Detections, i: int, x: float, y: float) -> bool:
    if found.masks is None:
        left, top, right, bottom = found.boxes_xyxy_px[i].tolist()
        return bool(left <= x < right and top <= y < bottom)
    crop = found.masks[i]
    rows, columns = crop.pixels.shape
    column, row = math.floor(x) - crop.x, math.floor(y) - crop.y
    return bool(0 <= column < columns and 0 <= row < rows and crop.pixels[row, column])


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    area_a, area_b = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return across * down / (area_a + area_b - across * down)
