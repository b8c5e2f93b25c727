"""What corrected tasks say of a model's candidates: which were right, from which score on.

A candidate is right where it hits an object of its label that people left in the annotation. The
match is greedy by descending score, as COCO's evaluation has it: so it is the same whatever the
threshold, since those above a threshold are the first ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.corrections.tuning.effort import Numbers

MIN_IOU = 0.5
GRID: Numbers = np.round(np.arange(0.05, 0.995, 0.01), 2)
"""The thresholds that are looked at; the first is the floor of the result cache."""


@dataclass(frozen=True, eq=False)
class TaskEvidence:
    """Of one corrected task.

    `labels` i64 [N]: model label of each candidate; `scores` f64 [N]; `ious` f64 [N]: overlap with
    the object that it hits, 0 where it hits none; `objects`: model label of each final object.
    """

    labels: npt.NDArray[np.int64]
    scores: Numbers
    ious: Numbers
    objects: tuple[int, ...]

    def __post_init__(self) -> None:
        n = len(self.scores)
        if self.labels.shape != (n,) or self.ious.shape != (n,) or self.scores.shape != (n,):
            raise ValueError("labels, scores and ious must be of one length")
        if not (np.isfinite(self.scores).all() and np.isfinite(self.ious).all()):
            raise ValueError("scores and ious must be finite")
        hits = np.count_nonzero(self.ious)
        if hits > len(self.objects):
            raise ValueError(f"{hits} candidates cannot hit {len(self.objects)} objects")


def match_greedily(
    scores: Numbers, ious: Numbers, may_match: npt.NDArray[np.bool_]
) -> npt.NDArray[np.int64]:
    """The object that each candidate hits, or -1.

    `ious` and `may_match`: [N candidates, M objects]; `may_match` where the labels agree. The best
    score chooses first, and takes the object that it overlaps most, from MIN_IOU on.
    """
    hit = np.full(len(scores), -1, np.int64)
    open_ious = np.where(may_match & (ious >= MIN_IOU), ious, 0.0)
    if open_ious.shape[1] == 0:
        return hit
    for index in np.argsort(-scores, kind="stable"):
        best = int(np.argmax(open_ious[index]))
        if open_ious[index, best] > 0:
            hit[index] = best
            open_ious[:, best] = 0.0
    return hit


@dataclass(frozen=True, eq=False)
class LabelCurves:
    """Counts of one model label, by threshold; only tasks where it occurs.

    `rows` i64 [R]: which tasks, ascending; `shown` f64 [R, 3, G]: HIT, POOR and FALSE at each
    threshold of GRID; `old` f64 [R, 3]: the same at the threshold in force, `old_threshold`;
    `objects` f64 [R].
    """

    label: int
    old_threshold: float
    rows: npt.NDArray[np.int64]
    shown: Numbers
    old: Numbers
    objects: Numbers


def label_curves(
    tasks: Sequence[TaskEvidence], label: int, old_threshold: float, reshape_below: float
) -> LabelCurves:
    """The curves of a model label; `old_threshold`: the one in force."""
    rows, shown, old, objects = [], [], [], []
    for index, task in enumerate(tasks):
        mine = task.labels == label
        number = task.objects.count(label)
        if number == 0 and not mine.any():
            continue
        scores, ious = task.scores[mine], task.ious[mine]
        kinds = (ious > 0, (ious > 0) & (ious < reshape_below), ious == 0)
        rows.append(index)
        shown.append([_above_each(scores[kind]) for kind in kinds])
        old.append([np.count_nonzero(scores[kind] >= old_threshold) for kind in kinds])
        objects.append(number)
    n = len(rows)
    return LabelCurves(
        label,
        old_threshold,
        np.array(rows, np.int64),
        np.array(shown, np.float64).reshape(n, 3, len(GRID)),
        np.array(old, np.float64).reshape(n, 3),
        np.array(objects, np.float64),
    )


def _above_each(scores: Numbers) -> Numbers:
    """How many scores reach each threshold of GRID."""
    passed = np.searchsorted(GRID, scores, side="right")
    counts = np.bincount(passed, minlength=len(GRID) + 1)
    above: Numbers = np.cumsum(counts[::-1])[::-1][1:].astype(np.float64)
    return above
