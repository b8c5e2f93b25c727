"""A model against the annotations of a project, task by task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from backend.config_plan import ConfigPlan
from backend.corrections.detected import detected_instances
from backend.corrections.history import AnnotatedTask
from backend.corrections.instances import Instance, read_instances
from backend.corrections.review.findings import Finding, ImageReview, review_image
from backend.corrections.review.overlooked import Overlooked
from backend.fair_pool import FairPool
from backend.image_results import FLOOR_SCORE
from backend.predictor import Predictor
from backend.runtime.errors import ImageError, LabelvinoError


@dataclass(frozen=True, eq=False)
class TaskFinding:
    """A finding, and where it is; `data`: of the task."""

    task_id: int
    annotation_id: int
    data: Mapping[str, Any]
    finding: Finding


@dataclass(frozen=True, eq=False)
class _Reviewed:
    task: AnnotatedTask
    images: tuple[ImageReview, ...]
    instances: int
    unread: int


class Reviewer:
    """Looks at annotated tasks; what is spurious is known when it has seen all of them.

    instances  that are annotated; judged: those whose label the model can give
    unread     regions that could not be read
    failed     task id and reason
    """

    def __init__(
        self, predictor: Predictor, plan: ConfigPlan, pool: FairPool, min_confidence: float
    ) -> None:
        self._predictor = predictor
        self._plan = plan
        self._pool = pool
        self._min_confidence = min_confidence
        self._found: list[TaskFinding] = []
        self._seen: list[tuple[Instance, bool]] = []
        self._unseen: list[tuple[AnnotatedTask, Instance]] = []
        self.instances = 0
        self.unread = 0
        self.task_ids: list[int] = []
        self.failed: list[tuple[int, str]] = []
        self._known = {
            name: frozenset(t.tag.written for targets in of_image.targets for t in targets)
            for name, of_image in plan.plans.items()
        }

    @property
    def judged(self) -> int:
        return len(self._seen)

    def add(self, tasks: Sequence[AnnotatedTask]) -> None:
        """Several at once; a task whose image cannot be had is left out, with the reason."""
        outcomes = self._pool.run([partial(self._review, task) for task in tasks])
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, _Reviewed):
                self._keep(outcome)
            elif isinstance(outcome, LabelvinoError):
                self.failed.append((task.task_id, str(outcome)))
            else:
                raise outcome

    def findings(self) -> list[TaskFinding]:
        """Of all tasks, the surest first."""
        overlooked = Overlooked(self._seen)
        found = list(self._found)
        for task, instance in self._unseen:
            confidence = overlooked.share_seen(instance)
            if confidence >= self._min_confidence:
                found.append(_of_task(task, Finding("spurious", confidence, None, instance)))
        return sorted(found, key=lambda each: (-each.finding.confidence, each.task_id))

    def _keep(self, reviewed: _Reviewed) -> None:
        self.task_ids.append(reviewed.task.task_id)
        self.instances += reviewed.instances
        self.unread += reviewed.unread
        for image in reviewed.images:
            self._found += [_of_task(reviewed.task, each) for each in image.findings]
            for instance, is_seen in image.seen:
                self._seen.append((instance, is_seen))
                if not is_seen:
                    self._unseen.append((reviewed.task, instance))

    def _review(self, task: AnnotatedTask) -> _Reviewed:
        """Raises LabelvinoError."""
        row = {"id": task.task_id, "data": task.data}
        reading = read_instances(task.result)
        images = []
        for tag, item_index, found in self._predictor.look(row, self._plan, FLOOR_SCORE):
            place = tag.name, item_index or 0
            annotated = [
                each
                for each in reading.instances
                if (each.frame.to_name, each.frame.item_index) == place
            ]
            detected = detected_instances(found, self._plan.plans[tag.name], *place)
            size = found.width, found.height
            if any((each.frame.width, each.frame.height) != size for each in annotated):
                raise ImageError(
                    f"the image has {size[0]}x{size[1]} pixels, and its regions were drawn on "
                    "another size: the image was exchanged, so annotate it again."
                )
            known = self._known[tag.name]
            images.append(review_image(detected, annotated, known, self._min_confidence))
        return _Reviewed(task, tuple(images), len(reading.instances), len(reading.unread))


def _of_task(task: AnnotatedTask, finding: Finding) -> TaskFinding:
    return TaskFinding(task.task_id, task.annotation_id, task.data, finding)
