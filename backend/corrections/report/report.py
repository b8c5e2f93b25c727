"""A project's annotations -> all that the report says, as JSON."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from backend.corrections.history import AnnotatedTask
from backend.corrections.matching import KEPT_IOU, MIN_IOU, Matching
from backend.corrections.report import figures
from backend.corrections.report.changes import RIGHT_IOU, TaskChanges, compare
from backend.corrections.report.confusions import DEFAULT_SHARE, confusions
from backend.corrections.report.time_spent import time_spent
from backend.labelstudio.api import Project
from backend.labelstudio.label_config import LabelConfig

_UNREAD_SHOWN = 20
_WORST_LISTED = 200


@dataclass(frozen=True, eq=False)
class Example:
    """A task with its pixels, for a picture."""

    task: AnnotatedTask
    changes: TaskChanges
    matching: Matching


@dataclass
class Collected:
    """Of all annotations that count what the figures need, and the worst few in full."""

    tasks: list[TaskChanges] = field(default_factory=list)
    worst: list[Example] = field(default_factory=list)


def collect(
    tasks: Iterable[AnnotatedTask], examples: int = 0, advance: Callable[[], None] = lambda: None
) -> Collected:
    """`examples`: how many of the tasks with most corrections are kept in full, worst first."""
    found = Collected()
    heap: list[tuple[float, int, Example]] = []
    for number, task in enumerate(tasks):
        changes, matching = compare(task)
        found.tasks.append(changes)
        if examples and changes.effort > 0:
            item = (changes.effort, -number, Example(task, changes, matching))
            (heapq.heappushpop if len(heap) >= examples else heapq.heappush)(heap, item)
        advance()
    found.worst = [example for _, _, example in sorted(heap, key=lambda item: item[:2])[::-1]]
    return found


def report_json(
    project: Project,
    address: str,
    tasks: Sequence[TaskChanges],
    config: LabelConfig,
    *,
    made_at: datetime,
    current_version: str = "",
    confusion_share: float = DEFAULT_SHARE,
) -> dict[str, Any]:
    """Everything; plain numbers, strings and lists. `address`: of Label Studio."""
    changes = [change for task in tasks for change in task.changes]
    return {
        "project": {"id": project.id, "title": project.title},
        "label_studio": address,
        "made_at": made_at.isoformat(timespec="seconds"),
        "rules": {"right_iou": RIGHT_IOU, "same_iou": MIN_IOU, "kept_iou": KEPT_IOU},
        "tasks": _tasks(tasks, current_version),
        "total": figures.summary(changes),
        "labels": figures.by_label(changes),
        "reshaped_iou": figures.reshaped_ious(changes),
        "scores": figures.by_score(changes),
        "without_score": sum(c.is_predicted and c.score is None for c in changes),
        "time": time_spent(tasks),
        "versions": figures.by_version(tasks),
        "confusions": confusions(changes, config, confusion_share),
        "worst": _worst(tasks),
    }


def _tasks(tasks: Sequence[TaskChanges], current_version: str) -> dict[str, Any]:
    unread = [
        f"task {task.task_id}, annotation {task.annotation_id}: {reason}"
        for task in tasks
        for reason in task.unread
    ]
    return {
        "annotations": len(tasks),
        "began_with_prediction": sum(task.began_with_prediction for task in tasks),
        "compared_with_current_version": sum(task.source == "current" for task in tasks),
        "current_version": current_version,
        "left_blank": sum(task.began_blank for task in tasks),
        "without_prediction": sum(task.source is None and not task.began_blank for task in tasks),
        "unread_regions": len(unread),
        "unread": unread[:_UNREAD_SHOWN],
    }


def _worst(tasks: Sequence[TaskChanges]) -> list[dict[str, Any]]:
    """Those with corrections, most effort first."""
    rows = []
    for task in sorted(tasks, key=lambda task: (-task.effort, task.task_id))[:_WORST_LISTED]:
        if task.effort > 0:
            counts = figures.summary(task.changes)
            names = ("kept", "reshaped", "relabelled", "deleted", "added", "mean_iou")
            row = {"task": task.task_id, "annotation": task.annotation_id, "effort": task.effort}
            rows.append(row | {name: counts[name] for name in names} | {"time_s": task.lead_time_s})
    return rows
