"""Tasks -> predictions: the one path that the server, bulk jobs and the command line share."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, Protocol

from backend.fair_pool import FairPool, NotReached
from backend.labelstudio.label_config import ImageTag, LabelConfig, parse_label_config
from backend.labelstudio.region_plan import (
    ControlChoice,
    RegionPlan,
    Thresholds,
    plan_regions,
    thresholds_digest,
)
from backend.labelstudio.regions import (
    Region,
    RegionOptions,
    ScoreStrategy,
    build_regions,
    certainties,
    prediction_score,
)
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.errors import FetchError, LabelvinoError
from backend.runtime.image import DecodedImage, ImageLimits, decode_image, pixel_count

log = logging.getLogger("labelvino")

# A larger image can cost gigabytes, where the model resizes it itself: one at a time.
_LARGE_PIXELS = 24_000_000
_MARGIN_FLOOR = 0.05  # the margin strategy also looks at detections below the threshold
_REMEMBERED_CONFIGS = 256


class ImageSource(Protocol):
    """Where a task's images come from."""

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        """The bytes of an image. Raises FetchError."""


@dataclass(frozen=True)
class PredictorOptions:
    """How predictions are made, besides the model."""

    choice: ControlChoice = "auto"
    regions: RegionOptions = field(default_factory=RegionOptions)
    score_strategy: ScoreStrategy = "mean"
    command_line_threshold: float | None = None
    settings_threshold: float | None = None
    limits: ImageLimits = field(default_factory=ImageLimits)
    max_detections: int = 300


@dataclass(frozen=True)
class ConfigPlan:
    """A label config, read for this model.

    `plans`: by image tag name; `notes`: what could not be mapped, in plain sentences.
    """

    config: LabelConfig
    plans: Mapping[str, RegionPlan]
    model_version: str
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Prediction:
    """A finished prediction of one task."""

    model_version: str
    score: float
    result: tuple[Region, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "model_version": self.model_version,
            "score": self.score,
            "result": list(self.result),
        }


@dataclass(frozen=True)
class TaskOutcome:
    """A prediction, or the reason why there is none (`reached`: whether it was tried at all)."""

    task_id: int | None
    prediction: Prediction | None
    reason: str = ""
    reached: bool = True


class Predictor:
    """One model with its options; may be called from any thread."""

    def __init__(
        self, engine: Engine, source: ImageSource, options: PredictorOptions, pool: FairPool
    ) -> None:
        self.engine = engine
        self.options = options
        self._source = source
        self._pool = pool
        self._plans: OrderedDict[str, ConfigPlan] = OrderedDict()
        self._lock = Lock()
        self._large_image = Lock()

    def plan(self, label_config: str) -> ConfigPlan:
        """Read a label config for this model; what cannot be mapped is logged once a config.

        Raises LabelConfigError.
        """
        with self._lock:
            if label_config in self._plans:
                self._plans.move_to_end(label_config)
                return self._plans[label_config]
        plan = self._read_plan(label_config)
        with self._lock:
            known = label_config in self._plans
            self._plans[label_config] = plan
            while len(self._plans) > _REMEMBERED_CONFIGS:
                self._plans.popitem(last=False)
        if not known:
            for note in plan.notes:
                log.warning("label config: %s", note)
            if plan.notes:
                names = ", ".join(self.engine.contract.label_names)
                log.warning("label config: the model's labels are: %s", names)
        return plan

    def predict_tasks(
        self,
        tasks: Sequence[Mapping[str, Any]],
        label_config: str,
        deadline: float = float("inf"),
        on_done: Callable[[TaskOutcome], None] | None = None,
    ) -> list[TaskOutcome]:
        """Predict all tasks in order, until `deadline` (time.monotonic, seconds) at the latest.

        Each task is `{"id": ..., "data": {...}}`. A task that failed, or was not reached, has an
        outcome with the reason; the others are not touched by it. Raises LabelConfigError.
        """
        plan = self.plan(label_config)
        jobs = [partial(self._outcome, task, plan, deadline, on_done) for task in tasks]
        outcomes = []
        for task, result in zip(tasks, self._pool.run(jobs, deadline), strict=True):
            if isinstance(result, NotReached):
                outcomes.append(TaskOutcome(_task_id(task), None, str(result), reached=False))
            elif isinstance(result, BaseException):
                raise result
            else:
                outcomes.append(result)
        return outcomes

    def predict_task(
        self, task: Mapping[str, Any], plan: ConfigPlan, deadline: float = float("inf")
    ) -> Prediction:
        """Predict one task in this thread. Raises LabelvinoError."""
        task_id = _task_id(task)
        found = []
        for tag, url, item_index in _images(task, plan):
            data = self._source.fetch(url, task_id=task_id, deadline=deadline)
            _, detections = self.detect(data, plan.plans[tag.name])
            found.append((tag, item_index, detections))
        return self.assemble(plan, found, task_id)

    def detect(self, data: bytes, plan: RegionPlan) -> tuple[DecodedImage, Detections]:
        """An image, and all detections in it that the plan or the score may use.

        Raises ImageError or InferenceError.
        """
        large = pixel_count(data) > _LARGE_PIXELS
        with self._large_image if large else nullcontext():
            return self._detect(decode_image(data, self.options.limits), plan)

    def _detect(self, image: DecodedImage, plan: RegionPlan) -> tuple[DecodedImage, Detections]:
        floor = plan.lowest_threshold
        if self.options.score_strategy == "margin":
            floor = min(floor, _MARGIN_FLOOR)
        found = self.engine.detect(
            image, min_score=floor, max_detections=self.options.max_detections
        )
        return image, found

    def assemble(
        self,
        plan: ConfigPlan,
        images: Sequence[tuple[ImageTag, int | None, Detections]],
        task_id: int | None = None,
    ) -> Prediction:
        """The prediction of one task from what was found in its images.

        `images`: image tag, place in a multi-image task (or None), detections.
        """
        regions: list[Region] = []
        shown: list[float] = []
        seen: list[float] = []
        for tag, item_index, found in images:
            region_plan = plan.plans[tag.name]
            written = build_regions(found, region_plan, tag.name, self.options.regions, item_index)
            if written.capped:
                limit = self.options.regions.max_brush_regions
                log.warning(
                    "task %s: %d brush regions beyond the limit of %d are left out",
                    task_id,
                    written.capped,
                    limit,
                )
            regions.extend(written.regions)
            shown.extend(written.instance_scores)
            seen.extend(certainties(found, region_plan))
        score = prediction_score(self.options.score_strategy, shown, seen)
        return Prediction(plan.model_version, score, tuple(regions))

    def _outcome(
        self,
        task: Mapping[str, Any],
        plan: ConfigPlan,
        deadline: float,
        on_done: Callable[[TaskOutcome], None] | None,
    ) -> TaskOutcome:
        task_id = _task_id(task)
        try:
            outcome = TaskOutcome(task_id, self.predict_task(task, plan, deadline))
        except LabelvinoError as error:
            outcome = TaskOutcome(task_id, None, str(error))
        except Exception as error:
            # A fault of ours must cost this task only; the log has the details.
            log.exception("task %s: unexpected error", task_id)
            outcome = TaskOutcome(task_id, None, f"unexpected {type(error).__name__}; see the log")
        if outcome.prediction is None:
            log.warning("task %s: no prediction: %s", task_id, outcome.reason)
        if on_done is not None:
            on_done(outcome)
        return outcome

    def _read_plan(self, label_config: str) -> ConfigPlan:
        config = parse_label_config(label_config)
        contract = self.engine.contract
        thresholds = self._thresholds()
        plans = {
            image.name: plan_regions(
                config,
                image.name,
                contract.label_names,
                has_masks=contract.mask_frame is not None,
                thresholds=thresholds,
                choice=self.options.choice,
            )
            for image in config.images
            if any(control.to_name == image.name for control in config.controls)
        }
        notes = dict.fromkeys(note for plan in plans.values() for note in plan.notes)
        version = self._version(plans, thresholds)
        return ConfigPlan(config, plans, version, tuple(notes))

    @property
    def versions(self) -> tuple[str, ...]:
        """The model versions given lately, and the default one."""
        with self._lock:
            used = [plan.model_version for plan in self._plans.values()]
        return tuple(dict.fromkeys([self.default_version, *used]))

    @property
    def default_version(self) -> str:
        """The model version where the config sets no thresholds of its own."""
        return self._version({}, self._thresholds())

    def _version(self, plans: Mapping[str, RegionPlan], thresholds: Thresholds) -> str:
        """Name, digest of the weights and facts, digest of the thresholds in force."""
        digest = thresholds_digest(plans, thresholds.default)
        contract = self.engine.contract
        return f"{contract.name}-{self.engine.model_digest[:8]}-{digest[:6]}"

    def _thresholds(self) -> Thresholds:
        return Thresholds(
            model=self.engine.contract.score_threshold,
            command_line=self.options.command_line_threshold,
            settings=self.options.settings_threshold,
        )


def _images(
    task: Mapping[str, Any], plan: ConfigPlan
) -> Iterator[tuple[ImageTag, str, int | None]]:
    """Image tags of the plan with something to predict, the address, the place in a list."""
    for name, region_plan in plan.plans.items():
        if region_plan.is_empty:
            continue
        tag = plan.config.image(name)
        value = _field(task, tag)
        if tag.is_list:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise FetchError(f"the task's field '{tag.field}' is not a list of addresses.")
            for index, item in enumerate(value):
                yield tag, item, index
        elif isinstance(value, str) and value:
            yield tag, value, None
        else:
            raise FetchError(f"the task's field '{tag.field}' has no image address.")


def _field(task: Mapping[str, Any], tag: ImageTag) -> object:
    """The value of `$field`, which may lead into nested objects (`$photo.url`)."""
    value: object = task.get("data")
    if isinstance(value, Mapping) and tag.field in value:
        return value[tag.field]
    for key in tag.field.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _task_id(task: Mapping[str, Any]) -> int | None:
    task_id = task.get("id")
    return task_id if isinstance(task_id, int) else None
