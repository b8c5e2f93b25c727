"""The demo's project in Label Studio: made once, with a task for each image and its prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

from backend.demo.images import DemoImage, batches, upload_digest
from backend.demo.steps import Steps
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.connection import Wishes, connect
from backend.labelstudio.json_calls import Row
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.project_tasks import ProjectTasks
from backend.runtime.errors import DemoError, LabelConfigError

_UPLOAD_BYTES = 40 * 1024 * 1024
_UPLOAD_FILES = 25
_TITLE_CHARACTERS = 50  # Label Studio's limit
_ASKED_AT_ONCE = 8  # tasks; few enough to end within Label Studio's patience on a slow device

Stored = dict[int, Row | None]
"""The wanted prediction of each task, by task id; None where there is none yet."""


@dataclass(frozen=True)
class Tally:
    """What is there: tasks, those with a prediction, those whose prediction has regions."""

    tasks: int
    predicted: int
    without_regions: tuple[int, ...]
    regions: int


class DemoProject:
    """One project, found again by its title. Methods raise LabelStudioError or DemoError."""

    def __init__(
        self,
        api: LabelStudioApi,
        title: str,
        label_config: str,
        labels: tuple[str, ...],
        steps: Steps,
    ) -> None:
        self._api = api
        self._steps = steps
        self.project = _find_or_create(api, title, label_config, labels)
        self.tasks = ProjectTasks(api.calls, self.project.id)

    def fill(self, images: list[DemoImage]) -> None:
        """A task for each image that has none yet."""
        known = {upload_digest(str(address)) for address in self._addresses()}
        missing = [image for image in images if upload_digest(image.read()[0]) not in known]
        if not missing:
            return
        with self._steps.step(f"Uploading {len(missing)} images") as show:
            done = 0
            for batch in batches(missing, _UPLOAD_BYTES, _UPLOAD_FILES):
                self.tasks.upload(image.read() for image in batch)
                done += len(batch)
                show(f"{done} of {len(missing)}")

    def connect(self, backend_url: str) -> str:
        """Connect the backend; gives the model version of its predictions."""
        done = connect(self._api, str(self.project.id), Wishes(backend_url))
        return str(done.backend["model_version"])

    def predict(self, model_version: str) -> Tally:
        """Let Label Studio get the predictions that are missing. Raises DemoError without any."""
        rows = self.tasks.all()
        stored = {int(row["id"]): self._prediction(row, model_version) for row in rows}
        missing = [task_id for task_id, prediction in stored.items() if prediction is None]
        if missing:
            with self._steps.step(f"Getting predictions for {len(missing)} tasks") as show:
                self._retrieve(missing, model_version, stored, show)
        if stored and all(prediction is None for prediction in stored.values()):
            raise DemoError("Label Studio got no prediction from the backend: see the logs.")
        counts = {task_id: len(p["result"]) for task_id, p in stored.items() if p is not None}
        empty = tuple(task_id for task_id in stored if not counts.get(task_id))
        return Tally(len(stored), len(counts), empty, sum(counts.values()))

    def _retrieve(
        self, missing: list[int], model_version: str, stored: Stored, show: Callable[[str], None]
    ) -> None:
        """Ask in small batches, again for those left over, as long as that brings any."""
        total = len(missing)
        while missing:
            for start in range(0, len(missing), _ASKED_AT_ONCE):
                asked = missing[start : start + _ASKED_AT_ONCE]
                self.tasks.retrieve_predictions(asked)
                stored |= {task_id: self._stored(task_id, model_version) for task_id in asked}
                done = sum(prediction is not None for prediction in stored.values())
                show(f"{done - len(stored) + total} of {total}")
            left = [task_id for task_id in missing if stored[task_id] is None]
            if len(left) == len(missing):
                return
            missing = left

    def _addresses(self) -> list[str]:
        return [str(value) for row in self.tasks.all() for value in row["data"].values()]

    def _prediction(self, row: Row, model_version: str) -> Row | None:
        return self._stored(int(row["id"]), model_version) if row["total_predictions"] else None

    def _stored(self, task_id: int, model_version: str) -> Row | None:
        rows = self.tasks.predictions(task_id)
        return next((row for row in rows if row["model_version"] == model_version), None)


def _find_or_create(
    api: LabelStudioApi, title: str, label_config: str, labels: tuple[str, ...]
) -> Project:
    """The project of an earlier demo, if it still has the model's labels; else a new one."""
    for number in count(1):
        name = title[:_TITLE_CHARACTERS] if number == 1 else _numbered(title, number)
        found = api.find_project(name)
        if found is None:
            return api.create_project(name, label_config)
        if _has_labels(found.label_config, labels):
            return found
    raise AssertionError  # the numbers do not end


def _numbered(title: str, number: int) -> str:
    ending = f" ({number})"
    return title[: _TITLE_CHARACTERS - len(ending)] + ending


def _has_labels(label_config: str, labels: tuple[str, ...]) -> bool:
    try:
        controls = parse_label_config(label_config).controls
    except LabelConfigError:
        return False
    return any(set(labels) <= {label.value for label in c.labels} for c in controls)
