"""How far two sets of detections of the same image agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from backend.runtime.engine import RawOutputs


@dataclass(frozen=True)
class Agreement:
    """Over the instances of either side with a score above the floor.

    `pairs`, `unmatched`: numbers; `box_px`, `score`, `mask`: the largest difference in a pair.
    """

    pairs: int = 0
    unmatched: int = 0
    box_px: float = 0.0
    score: float = 0.0
    mask: float = 0.0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.pairs + other.pairs,
            self.unmatched + other.unmatched,
            max(self.box_px, other.box_px),
            max(self.score, other.score),
            max(self.mask, other.mask),
        )

    @property
    def share(self) -> float:
        """Matched instances among all of both sides; nothing on both sides is 1."""
        return 2 * self.pairs / max(1, 2 * self.pairs + self.unmatched) if self.pairs else 0.0


# An instance just above the floor on one side may stand just below it on the other.
_TIE = 1e-3


def agreement(one: RawOutputs, other: RawOutputs, min_score: float) -> Agreement:
    """Match one to one by label and IoU of at least 0.5, best IoU first.

    An instance above `min_score` is unmatched unless a partner is above it too, ties aside.
    """
    candidates = _candidates(one, other, min_score - _TIE)
    left: set[int] = set()
    right: set[int] = set()
    total = Agreement()
    for _, i, j in sorted(candidates, key=lambda c: (-c[0], c[1], c[2])):
        if i in left or j in right:
            continue
        left.add(i)
        right.add(j)
        if max(one.boxes[i, 4], other.boxes[j, 4]) > min_score:
            total += _pair(one, other, i, j)
    alone = sum(1 for i in np.flatnonzero(one.boxes[:, 4] > min_score) if i not in left)
    alone += sum(1 for j in np.flatnonzero(other.boxes[:, 4] > min_score) if j not in right)
    return total + Agreement(unmatched=alone)


def _candidates(one: RawOutputs, other: RawOutputs, floor: float) -> list[tuple[float, int, int]]:
    same = one.labels[:, None] == other.labels[None]
    same &= (one.boxes[:, 4] > floor)[:, None] & (other.boxes[:, 4] > floor)[None]
    ious = np.where(same, _iou(one.boxes, other.boxes), 0.0)
    return [(float(ious[i, j]), int(i), int(j)) for i, j in np.argwhere(ious >= 0.5)]


def _iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    inner = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(x[:, 2:4] - x[:, :2], axis=1) for x in (a, b))
    union = area_a[:, None] + area_b[None] - inner
    return inner / np.maximum(union, 1e-9)


def _pair(one: RawOutputs, other: RawOutputs, i: int, j: int) -> Agreement:
    mask = 0.0
    if one.masks is not None and other.masks is not None:
        mask = float(np.abs(one.masks[i] - other.masks[j]).max())
    return Agreement(
        pairs=1,
        box_px=float(np.abs(one.boxes[i, :4] - other.boxes[j, :4]).max()),
        score=float(abs(one.boxes[i, 4] - other.boxes[j, 4])),
        mask=mask,
    )
