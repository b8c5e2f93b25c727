"""Predictions into Label Studio: each once, whatever breaks off."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import orjson

from backend.bulk.pace import Pace
from backend.bulk.tally import Tally
from backend.labelstudio.json_calls import RefusedError, Row
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import Condition, ProjectTasks, with_version

_POST_BYTES = 16 * 1024 * 1024
_DROPPED = (
    "Label Studio dropped the prediction as invalid: see that the project's labelling config is "
    "the one that it was made for"
)


class PredictionStore:
    """Writes predictions of one model version a call; several threads may."""

    def __init__(
        self,
        tasks: ProjectTasks,
        conditions: Sequence[Condition],
        patience: Patience,
        *,
        replace: bool = False,
        rate: float | None = None,
    ) -> None:
        """`conditions`: what a task must meet to get one; `replace`: older ones of the version go;
        `rate`: tasks a second, at most."""
        self._tasks = tasks
        self._conditions = tuple(conditions)
        self._patience = patience
        self._is_replacing = replace
        self._pace = Pace(rate)

    def write(self, predictions: Sequence[Row]) -> Tally:
        """Store what is not stored yet. Raises LabelStudioError where Label Studio stays away."""
        tally = Tally()
        for part in _parts(predictions):
            self._pace.wait(len(part), self._patience.stop_event)
            tally.add(self._patience.call(partial(self._write_part, part)))
        return tally

    def _write_part(self, predictions: list[Row]) -> Tally:
        """An earlier try may have arrived without our knowing, so each looks first."""
        by_task = {int(prediction["task"]): prediction for prediction in predictions}
        version = predictions[0]["model_version"]
        needed = self._needed(list(by_task))
        tally = Tally(skipped=len(by_task) - len(needed))
        old = self._stored(needed, version) if self._is_replacing else []
        old_ids = {prediction_id for _, prediction_id in old}
        tally.add(self._store([by_task[task_id] for task_id in needed], version, old_ids))
        # The old ones go when the new ones are stored: at no time is a task without one.
        for task_id, prediction_id in old:
            if task_id not in tally.failed:
                self._tasks.delete_prediction(prediction_id)
        return tally

    def _needed(self, task_ids: list[int]) -> list[int]:
        if self._tasks.count(*self._conditions, included=task_ids) == len(task_ids):
            return task_ids
        return [int(row["id"]) for row in self._tasks.fetch(task_ids, *self._conditions)]

    def _stored(self, task_ids: list[int], version: str) -> list[tuple[int, int]]:
        """Task and prediction ids of what is there of this version."""
        rows = self._tasks.fetch(task_ids, with_version(version), annotations=True)
        return [
            (int(row["id"]), int(prediction["id"]))
            for row in rows
            for prediction in row["predictions"]
            if prediction["model_version"] == version
        ]

    def _store(self, predictions: list[Row], version: str, old_ids: set[int]) -> Tally:
        """`old_ids`: predictions of the version that were there before."""
        if not predictions:
            return Tally()
        try:
            created = self._tasks.import_predictions(predictions)
        except RefusedError as error:
            if error.status not in (400, 413):  # invalid, or more than a proxy lets pass
                raise
            return self._store_apart(predictions, version, old_ids, error)
        stored = predictions
        tally = Tally()
        if created != len(predictions):
            ids = [int(prediction["task"]) for prediction in predictions]
            kept = {task for task, new in self._stored(ids, version) if new not in old_ids}
            tally.failed = {task_id: _DROPPED for task_id in ids if task_id not in kept}
            stored = [p for p in predictions if int(p["task"]) in kept]
        tally.done = len(stored)
        tally.empty = sum(not prediction["result"] for prediction in stored)
        for prediction in stored:
            tally.labels.update(region_labels(prediction["result"]))
        return tally

    def _store_apart(
        self, predictions: list[Row], version: str, old_ids: set[int], error: RefusedError
    ) -> Tally:
        """One bad prediction costs the whole request, so halves are tried."""
        if len(predictions) == 1:
            return Tally(failed={int(predictions[0]["task"]): str(error)})
        middle = len(predictions) // 2
        tally = self._store(predictions[:middle], version, old_ids)
        tally.add(self._store(predictions[middle:], version, old_ids))
        return tally


def region_labels(result: Sequence[Row]) -> list[str]:
    """The labels of a prediction's regions, one entry a region and label."""
    found = {}
    for item in result:
        for value in item["value"].values():
            if isinstance(value, list) and value and all(isinstance(v, str) for v in value):
                for label in value:
                    found[item["id"], label] = label
    return list(found.values())


def _parts(predictions: Sequence[Row]) -> list[list[Row]]:
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
