"""How long people needed for a task, with pre-annotation and without.

Only a comparison with tasks that chance left blank is fair: people may have begun with the easy
ones, or learnt meanwhile. Medians, since a task that stays open over lunch counts an hour.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles
from typing import Any

import numpy as np

from backend.corrections.report.changes import TaskChanges

LEAST_TASKS = 10
"""Of a group, for an interval: below, its draws repeat the same few tasks."""
_KINDS = ("only_kept", "edited", "added", "not_known")
_DRAWS = 2000
_LEVEL = 0.95


def spread_of(times_s: Sequence[float | None]) -> dict[str, Any]:
    """Number, quartiles and sum of times in seconds; what is not known, or 0, does not count."""
    known = [time_s for time_s in times_s if time_s]
    low, _, high = quantiles(known, n=4, method="inclusive") if len(known) > 1 else 3 * [None]
    return {
        "tasks": len(known),
        "median_s": median(known) if known else None,
        "lower_quartile_s": low,
        "upper_quartile_s": high,
        "sum_s": sum(known),
    }


def time_spent(tasks: Sequence[TaskChanges], seed: int = 0) -> dict[str, Any]:
    """Groups of tasks and what the pre-annotation saves.

    pre_annotated  began with a prediction; of these `only_kept`: nothing was to do; `edited`: some
                   region was reshaped, relabelled or deleted, none added; `added`: some were;
                   `not_known`: the prediction was deleted since
    left_blank     left without on purpose: the control
    other          began with neither, as far as Label Studio says
    saved          1 - median of pre_annotated / median of left_blank; None without both
    """
    began = [task for task in tasks if task.began_with_prediction]
    blank = [task for task in tasks if task.began_blank]
    other = [task for task in tasks if not (task.began_with_prediction or task.began_blank)]
    groups = {
        "pre_annotated": began,
        **{kind: [task for task in began if task_kind(task) == kind] for kind in _KINDS},
        "left_blank": blank,
        "other": other,
    }
    return {
        "groups": {name: _group(members) for name, members in groups.items()},
        "saved": _saved(_times(began), _times(blank), seed),
    }


def task_kind(task: TaskChanges) -> str:
    """`only_kept`, `edited`, `added` or `not_known`, as `time_spent` has it."""
    if task.source != "parent":
        return "not_known"
    fates = {change.fate for change in task.changes}
    if "added" in fates:
        return "added"
    return "edited" if fates - {"kept"} else "only_kept"


def _group(tasks: Sequence[TaskChanges]) -> dict[str, Any]:
    timed = [task for task in tasks if task.lead_time_s]
    per_instance = [task.lead_time_s / task.instances for task in timed
                    if task.lead_time_s and task.instances]  # fmt: skip
    return {
        **spread_of([task.lead_time_s for task in tasks]),
        "without_time": len(tasks) - len(timed),
        "median_instances": median(task.instances for task in timed) if timed else None,
        "median_s_an_instance": median(per_instance) if per_instance else None,
    }


def _times(tasks: Sequence[TaskChanges]) -> list[float]:
    return [task.lead_time_s for task in tasks if task.lead_time_s]


def _saved(began_s: list[float], blank_s: list[float], seed: int) -> dict[str, Any] | None:
    """`low`, `high`: between them lies the share in 95 % of the draws; None below LEAST_TASKS."""
    if not began_s or not blank_s:
        return None
    found: dict[str, Any] = {"share": 1 - median(began_s) / median(blank_s)}
    if min(len(began_s), len(blank_s)) < LEAST_TASKS:
        return found | {"low": None, "high": None, "level": _LEVEL, "draws": 0}
    chance = np.random.default_rng(seed)
    medians = [_drawn_medians(np.array(times_s), chance) for times_s in (began_s, blank_s)]
    tail = (1 - _LEVEL) / 2
    low, high = np.quantile(1 - medians[0] / medians[1], [tail, 1 - tail]).tolist()
    return found | {"low": low, "high": high, "level": _LEVEL, "draws": _DRAWS}


def _drawn_medians(times_s: np.ndarray, chance: np.random.Generator) -> np.ndarray:
    """f64 [draws]: of as many tasks, drawn with replacement; one draw at a time in memory."""
    return np.array([np.median(chance.choice(times_s, len(times_s))) for _ in range(_DRAWS)])
