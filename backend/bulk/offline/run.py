"""One run over tasks in files: predicted, kept in a journal, and written out at the end."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from backend.bulk.job import side_by_side
from backend.bulk.offline.journal import Journal
from backend.bulk.offline.task_source import SourceTask, Task, TaskSource
from backend.bulk.prediction_store import region_labels
from backend.bulk.tally import Tally
from backend.config_plan import ConfigPlan
from backend.fair_pool import FairPool
from backend.predictor import Predictor, TaskOutcome, task_images

_AT_ONCE = 32  # tasks of a batch; as many predictions are lost at the most, but never a task

Batch = list[tuple[int, SourceTask]]
"""Places, and the tasks there."""


class OfflineRun:
    """Tasks of a source, with one model and one label config.

    Memory is bounded by a few batches, whatever the number of tasks.
    """

    def __init__(
        self,
        source: TaskSource,
        journal: Journal,
        predictor: Predictor,
        label_config: str,
        *,
        limit: int | None = None,
    ) -> None:
        """`limit`: only the first so many tasks."""
        self._source = source
        self._journal = journal
        self._predictor = predictor
        self._label_config = label_config
        self._plan: ConfigPlan = predictor.plan(label_config)
        self._limit = limit
        self._lock = threading.Lock()

    def count(self) -> int:
        """How many tasks there are; reads them all, so that what is damaged is told at once."""
        return sum(1 for _ in self._tasks())

    def predict(self, pool: FairPool, advance: Callable[[Tally], None]) -> None:
        """Predict what the journal does not have. Ctrl-C keeps what is done."""
        calls = (partial(self._one, batch, advance) for batch in self._batches())
        side_by_side(calls, pool.stop)

    def write(self, out: Path) -> None:
        """All tasks with their predictions, in their order, whole or not at all."""
        partial_file = out.with_name(f"{out.name}.partial")
        with partial_file.open("wb") as file:
            file.write(b"[")
            for place, task in self._tasks():
                found = self._journal.prediction(place) if self._journal.has(place) else None
                file.write(b",\n" if place else b"\n")
                file.write(_json(_with_prediction(task.written, found)))
            file.write(b"\n]\n")
            file.flush()
            os.fsync(file.fileno())
        partial_file.replace(out)

    def _tasks(self) -> Iterator[tuple[int, SourceTask]]:
        return enumerate(islice(self._source, self._limit))

    def _batches(self) -> Iterator[Batch]:
        waiting = ((place, task) for place, task in self._tasks() if not self._journal.has(place))
        while batch := list(islice(waiting, _AT_ONCE)):
            yield batch

    def _one(self, batch: Batch, advance: Callable[[Tally], None]) -> None:
        outcomes = self._predictor.predict_tasks(
            [task.read for _, task in batch], self._label_config
        )
        made: list[tuple[int, dict[str, Any]]] = []
        tally = Tally()
        for (place, task), outcome in zip(batch, outcomes, strict=True):
            prediction = self._taken(place, task, outcome, tally)
            if prediction is not None:
                made.append((place, prediction))
        with self._lock:
            self._journal.add(made)
            advance(tally)

    def _taken(
        self, place: int, task: SourceTask, outcome: TaskOutcome, tally: Tally
    ) -> dict[str, Any] | None:
        number = place + 1
        if outcome.prediction is None:
            if outcome.reached:
                tally.failed[number] = outcome.reason
            else:
                tally.left_ids.append(number)
            return None
        prediction = outcome.prediction.to_json()
        tally.done += 1
        tally.empty += not prediction["result"]
        tally.images += sum(1 for _ in task_images(task.read, self._plan))
        tally.labels.update(region_labels(prediction["result"]))
        return prediction


def _with_prediction(task: Task, prediction: dict[str, Any] | None) -> Task:
    """The task with it, instead of an older one of the same version."""
    if prediction is None:
        return task
    there = task.get("predictions")
    others = [
        other
        for other in (there if isinstance(there, list) else [])
        if isinstance(other, dict) and other.get("model_version") != prediction["model_version"]
    ]
    return {**task, "predictions": [*others, prediction]}


def _json(task: Task) -> bytes:
    try:
        return orjson.dumps(task)
    except TypeError:  # numbers and texts that the user's file may have, and orjson refuses
        return json.dumps(task).encode()
