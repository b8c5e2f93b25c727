"""One chunk of tasks: read, predicted, written; the same in this process and in a worker."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import orjson

from backend.bulk.coverage import drop_covered
from backend.bulk.selection import BLANK_VERSION, Selection
from backend.config_plan import ConfigPlan
from backend.labelstudio.json_calls import RefusedError, Row
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import ProjectTasks, with_version
from backend.predictor import Predictor

_POST_BYTES = 16 * 1024 * 1024


@dataclass
class Tally:
    """What came of tasks.

    done     predictions written
    empty    of those, how many have no region
    blank    tasks left blank on purpose
    skipped  tasks that needed none any more, or are gone
    left     tasks that were not reached before the stop
    failed   reason by task id
    labels   regions by label
    """

    done: int = 0
    empty: int = 0
    blank: int = 0
    skipped: int = 0
    left: int = 0
    failed: dict[int, str] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def tasks(self) -> int:
        """All that it is about."""
        return self.done + self.blank + self.skipped + self.left + len(self.failed)

    def add(self, other: Tally) -> None:
        self.done += other.done
        self.empty += other.empty
        self.blank += other.blank
        self.skipped += other.skipped
        self.left += other.left
        self.failed |= other.failed
        self.labels += other.labels


@dataclass(frozen=True)
class ChunkOptions:
    """How chunks are worked on.

    selection       what a task must still meet
    covered_share   drop regions of which annotations cover that share; None: keep all
    rate            tasks written a second, at most; None: as fast as it goes
    """

    selection: Selection
    covered_share: float | None = None
    rate: float | None = None


class ChunkWork:
    """Works on chunks of one project's tasks; several threads may."""

    def __init__(
        self,
        tasks: ProjectTasks,
        predictor: Predictor,
        label_config: str,
        options: ChunkOptions,
        patience: Patience,
    ) -> None:
        self._tasks = tasks
        self._predictor = predictor
        self._label_config = label_config
        self._options = options
        self.patience = patience
        self.plan: ConfigPlan = predictor.plan(label_config)
        self._conditions = options.selection.conditions(self.plan.model_version)
        self._pace = Pace(options.rate)

    def predict(self, task_ids: Sequence[int]) -> Tally:
        """Give these tasks predictions, but for those that have one by now.

        May be called again for the same tasks at any time, also after it was broken off. Raises
        LabelStudioError where Label Studio stays away.
        """
        with_annotations = self._options.covered_share is not None
        rows = self.patience.call(
            lambda: self._tasks.fetch(task_ids, *self._conditions, annotations=with_annotations)
        )
        tally = Tally(skipped=len(task_ids) - len(rows))
        outcomes = self._predictor.predict_tasks(rows, self._label_config)
        made: list[Row] = []
        for row, outcome in zip(rows, outcomes, strict=True):
            if outcome.prediction is not None:
                made.append(self._with_task(row, outcome.prediction.to_json()))
            elif outcome.reached:
                tally.failed[int(row["id"])] = outcome.reason
            else:
                tally.left += 1
        tally.add(self._write(made))
        return tally

    def leave_blank(self, task_ids: Sequence[int]) -> Tally:
        """Mark tasks as left without pre-annotation on purpose."""
        marks = [
            {"task": task_id, "model_version": BLANK_VERSION, "score": 0.0, "result": []}
            for task_id in task_ids
        ]
        written = self._write(marks)
        return Tally(blank=written.done, skipped=written.skipped, failed=written.failed)

    def _with_task(self, row: Row, prediction: dict[str, Any]) -> Row:
        share = self._options.covered_share
        if share is not None:
            regions = drop_covered(prediction["result"], row["annotations"], share)
            prediction = {**prediction, "result": regions}
        return {"task": int(row["id"]), **prediction}

    def _write(self, predictions: list[Row]) -> Tally:
        tally = Tally()
        for part in _parts(predictions):
            self._pace.wait(len(part))
            tally.add(self.patience.call(partial(self._write_part, part)))
        return tally

    def _write_part(self, predictions: list[Row]) -> Tally:
        """Store what is not stored yet: an earlier try may have arrived without our knowing."""
        by_task = {int(prediction["task"]): prediction for prediction in predictions}
        version = predictions[0]["model_version"]
        if self._options.selection.replace:
            return self._replace(by_task, version)
        needed = self._needed(by_task)
        tally = Tally(skipped=len(by_task) - len(needed))
        sent = [by_task[task_id] for task_id in needed]
        tally.add(self._store(sent, version))
        return tally

    def _needed(self, by_task: dict[int, Row]) -> list[int]:
        return [int(row["id"]) for row in self._tasks.fetch(list(by_task), *self._conditions)]

    def _replace(self, by_task: dict[int, Row], version: str) -> Tally:
        """The old ones go when the new ones are stored: at no time is a task without one."""
        there = {int(row["id"]) for row in self._tasks.fetch(list(by_task), *self._conditions)}
        old = {
            task_id: [p for p in self._tasks.predictions(task_id) if p["model_version"] == version]
            for task_id in there
        }
        tally = Tally(skipped=len(by_task) - len(there))
        tally.add(self._store([by_task[task_id] for task_id in sorted(there)], version))
        for task_id, rows in old.items():
            if task_id not in tally.failed:
                for row in rows:
                    self._tasks.delete_prediction(int(row["id"]))
        return tally

    def _store(self, predictions: list[Row], version: str) -> Tally:
        if not predictions:
            return Tally()
        try:
            created = self._tasks.import_predictions(predictions)
        except RefusedError as error:
            if error.status != 400:
                raise
            return self._store_apart(predictions, version, error)
        stored = predictions
        tally = Tally()
        if created != len(predictions):
            ids = [int(prediction["task"]) for prediction in predictions]
            kept = {int(row["id"]) for row in self._tasks.fetch(ids, with_version(version))}
            tally.failed = {
                task_id: "Label Studio dropped the prediction as invalid: see that the project's "
                "labelling config is the one that it was made for"
                for task_id in ids
                if task_id not in kept
            }
            stored = [p for p in predictions if int(p["task"]) in kept]
        tally.done = len(stored)
        tally.empty = sum(not prediction["result"] for prediction in stored)
        for prediction in stored:
            tally.labels.update(region_labels(prediction["result"]))
        return tally

    def _store_apart(self, predictions: list[Row], version: str, error: RefusedError) -> Tally:
        """One bad prediction costs the whole request, so halves are tried."""
        if len(predictions) == 1:
            return Tally(failed={int(predictions[0]["task"]): str(error)})
        middle = len(predictions) // 2
        tally = self._store(predictions[:middle], version)
        tally.add(self._store(predictions[middle:], version))
        return tally


class Pace:
    """Lets so many tasks a second pass, whatever the number of threads."""

    def __init__(self, rate: float | None) -> None:
        self._rate = rate
        self._next_s = 0.0
        self._lock = threading.Lock()

    def wait(self, tasks: int) -> None:
        """Return when `tasks` more may be written."""
        if self._rate is None:
            return
        with self._lock:
            now_s = time.monotonic()
            at_s = max(now_s, self._next_s)
            self._next_s = at_s + tasks / self._rate
        time.sleep(at_s - now_s)


def region_labels(result: Sequence[Row]) -> list[str]:
    """The labels of a prediction's regions, one entry a region and label."""
    found = {}
    for item in result:
        for value in item["value"].values():
            if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
                for label in value:
                    found[item["id"], label] = label
    return list(found.values())


def _parts(predictions: list[Row]) -> list[list[Row]]:
    """In their order, in requests of bearable size, since brush masks are large."""
    parts: list[list[Row]] = []
    room = 0
    for prediction in predictions:
        size = len(orjson.dumps(prediction))
        if not parts or size > room:
            parts.append([])
            room = _POST_BYTES
        parts[-1].append(prediction)
        room -= size
    return parts
