"""Which tasks of a project get predictions."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from backend.labelstudio.json_calls import Row
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import (
    BLANK_VERSION,
    Condition,
    ProjectTasks,
    with_version,
    without_annotations,
    without_version,
)


@dataclass(frozen=True)
class Selection:
    """What the person who runs the job wants.

    view_id           a tab of the Data Manager; None: the whole project
    task_ids          exactly these (and no view), such as those that failed; None: no such list
    only_unlabelled   leave tasks with an annotation
    replace           also those that have this version already
    fill_blank        also those left blank by an earlier job
    sample            so many of them by chance, the same ones again with the same `seed`
    limit             the first so many
    blank_share       share that is left blank, 0 to 1
    version_start     only those with a prediction of a version that begins so; "": whatever they
                      have
    """

    view_id: int | None = None
    task_ids: tuple[int, ...] | None = None
    only_unlabelled: bool = False
    replace: bool = False
    fill_blank: bool = False
    sample: int | None = None
    limit: int | None = None
    blank_share: float = 0.0
    seed: int = 0
    version_start: str = ""

    @property
    def can_be_listed(self) -> bool:
        """Whether tasks can be worked on while further ones are still being listed."""
        return self.view_id is None and self.task_ids is None and self.sample is None

    def conditions(self, model_version: str) -> tuple[Condition, ...]:
        """What a task must meet just before its prediction is made and written."""
        versions = [] if self.replace else [model_version]
        versions += [] if self.fill_blank else [BLANK_VERSION]
        found = [without_version(*versions)] if versions else []
        found += [without_annotations()] if self.only_unlabelled else []
        found += [with_version(self.version_start)] if self.version_start else []
        return tuple(found)


@dataclass(frozen=True)
class Plan:
    """Task ids, in order: those to predict, those to leave blank."""

    predict: tuple[int, ...]
    blank: tuple[int, ...]


def make_plan(tasks: ProjectTasks, selection: Selection, model_version: str) -> Plan:
    """Choose the tasks; ids alone are kept in memory. Raises LabelStudioError."""
    conditions = selection.conditions(model_version)
    if selection.task_ids is not None or selection.view_id is not None:
        wanted = (
            list(dict.fromkeys(selection.task_ids))
            if selection.task_ids is not None
            else tasks.ids_of_view(selection.view_id or 0)
        )
        there = tasks.ids_of(wanted, *conditions)
        ids = [task_id for task_id in wanted if task_id in there]
    else:
        ids = [int(row["id"]) for page in tasks.pages(*conditions) for row in page]
    if selection.sample is not None and selection.sample < len(ids):
        chosen = set(random.Random(selection.seed).sample(sorted(ids), selection.sample))  # noqa: S311
        ids = [task_id for task_id in ids if task_id in chosen]
    ids = ids[: selection.limit]
    blank = {task_id for task_id in ids if is_blank(task_id, selection)}
    return Plan(
        tuple(task_id for task_id in ids if task_id not in blank),
        tuple(task_id for task_id in ids if task_id in blank),
    )


def listed_ids(
    tasks: ProjectTasks, selection: Selection, model_version: str, patience: Patience
) -> Iterator[int]:
    """The tasks of a selection that can be listed, page by page, as they are asked for.

    Tasks that arrive meanwhile are among them. Raises LabelStudioError.
    """
    conditions, last = selection.conditions(model_version), 0
    left = math.inf if selection.limit is None else selection.limit
    while left > 0:
        page = patience.call(partial(_page_behind, tasks, conditions, last))
        if not page:
            return
        for row in page[: int(min(left, len(page)))]:
            last = int(row["id"])
            yield last
        left -= len(page)


def _page_behind(tasks: ProjectTasks, conditions: tuple[Condition, ...], last: int) -> list[Row]:
    return next(tasks.pages(*conditions, behind=last), [])


def is_blank(task_id: int, selection: Selection) -> bool:
    """By chance, but the same again, so that an interrupted job leaves the same tasks blank."""
    if selection.blank_share <= 0:
        return False
    digest = hashlib.sha256(f"{selection.seed} {task_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < selection.blank_share
