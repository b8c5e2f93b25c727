"""Figures of what people changed: in all, by label, by score, by model version."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import mean, quantiles
from typing import Any

import numpy as np

from backend.corrections.matching import FATES
from backend.corrections.report.changes import Change, TaskChanges
from backend.corrections.report.time_spent import spread_of

Figures = dict[str, Any]
"""One row of the report, as it stands in its JSON."""

IOU_EDGES = tuple(round(0.05 * i, 2) for i in range(21))
SCORE_EDGES = tuple(round(0.1 * i, 1) for i in range(11))


def summary(changes: Sequence[Change]) -> Figures:
    """Counts and shares of instances.

    precision  right ones of those predicted; recall: of the final ones; None of none
    mean_iou   of predicted and final shape, where the label stayed; None without any
    added_by_prompt  of the added ones, those that were asked for with a click or a box
    """
    fates = [change.fate for change in changes]
    predicted = sum(change.is_predicted for change in changes)
    final = sum(change.is_final for change in changes)
    right = sum(change.is_right for change in changes)
    ious = [c.iou for c in changes if c.fate in ("kept", "reshaped") and c.iou is not None]
    return {
        "predicted": predicted,
        "final": final,
        **{fate: fates.count(fate) for fate in FATES},
        "added_by_prompt": sum(c.fate == "added" and c.is_prompted for c in changes),
        "right": right,
        "kept_share": _share(fates.count("kept"), predicted),
        "precision": _share(right, predicted),
        "recall": _share(right, final),
        "mean_iou": mean(ious) if ious else None,
    }


def by_label(changes: Sequence[Change]) -> list[Figures]:
    """A summary a label, the most frequent first.

    A relabelled instance counts as `relabelled` for the label that was predicted, and as
    `relabelled_to` for the one that it got: predicted = kept + reshaped + relabelled + deleted,
    final = kept + reshaped + relabelled_to + added.
    """
    names = {c.predicted_label for c in changes} | {c.final_label for c in changes}
    rows = []
    for name in names - {None}:
        own = [c for c in changes if name in (c.predicted_label, c.final_label)]
        arrived = [c for c in own if c.fate == "relabelled" and c.final_label == name]
        row = summary([c for c in own if c not in arrived])
        # What came here from another label was there in the end, though not predicted as this.
        left = row["relabelled"]
        row["final"] += len(arrived) - left
        row["recall"] = _share(row["right"], row["final"])
        rows.append({"label": name, **row, "relabelled_to": len(arrived)})
    return sorted(rows, key=lambda row: (-max(row["predicted"], row["final"]), str(row["label"])))


def reshaped_ious(changes: Iterable[Change]) -> Figures:
    """How far shapes were changed: IoU of predicted and final, where the label stayed.

    Quartiles, and counts between `edges` (the last bin holds 1.0, too).
    """
    ious = [c.iou for c in changes if c.fate == "reshaped" and c.iou is not None]
    counts, _ = np.histogram(ious, bins=np.array(IOU_EDGES))
    low, middle, high = quantiles(ious, n=4, method="inclusive") if len(ious) > 1 else 3 * [None]
    return {
        "number": len(ious),
        "lower_quartile": low,
        "median": ious[0] if len(ious) == 1 else middle,
        "upper_quartile": high,
        "edges": list(IOU_EDGES),
        "counts": counts.tolist(),
    }


def by_score(changes: Sequence[Change]) -> list[Figures]:
    """Bands of the predictions' score that hold any, the lowest first.

    Scores beyond 0 and 1 count in the first and the last. `recall_from_here`: of all final
    instances, were only predictions of at least `low` shown.
    """
    final = sum(change.is_final for change in changes)
    rows = []
    for low, high in pairwise(SCORE_EDGES):
        is_first, is_last = low == SCORE_EDGES[0], high == SCORE_EDGES[-1]
        scored = [c for c in changes if c.score is not None and (is_first or c.score >= low)]
        band = [c for c in scored if c.score is not None and (is_last or c.score < high)]
        if band:
            row = summary(band)
            for name in ("final", "added", "added_by_prompt", "recall"):
                del row[name]
            above = sum(c.is_right for c in scored)
            rows.append({"low": low, "high": high, **row, "recall_from_here": _share(above, final)})
    return rows


def by_version(tasks: Sequence[TaskChanges]) -> list[Figures]:
    """A summary a model version, in the order of the first annotation; only of tasks compared."""
    versions: dict[str, list[TaskChanges]] = {}
    for task in sorted(tasks, key=lambda task: task.created_at):
        if task.source is not None:
            versions.setdefault(task.model_version, []).append(task)
    return [
        {
            "model_version": version,
            "tasks": len(own),
            "first": own[0].created_at.isoformat(),
            "last": own[-1].created_at.isoformat(),
            **summary([change for task in own for change in task.changes]),
            "time": spread_of([task.lead_time_s for task in own if task.source == "parent"]),
        }
        for version, own in versions.items()
    ]


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
