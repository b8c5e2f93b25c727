"""Tasks -> predictions: the one path that the server, bulk jobs and the command line share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from backend.config_plan import ConfigPlan, ConfigPlanner
from backend.fair_pool import FairPool, NotReached
from backend.image_results import FLOOR_SCORE, ImageResults, ImageSource
from backend.labelstudio.label_config import ImageTag
from backend.labelstudio.prompts import Prompts, read_prompts
from backend.labelstudio.region_plan import ControlChoice, RegionPlan
from backend.labelstudio.regions import (
    Region,
    RegionOptions,
    ScoreStrategy,
    build_regions,
    certainties,
    prediction_score,
)
from backend.prompter import Prompter
from backend.result_cache import ResultCache
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.errors import FetchError, LabelvinoError
from backend.runtime.image import DecodedImage, ImageLimits

log = logging.getLogger("labelvino")

# These also look at detections below the threshold, down to what is remembered of every image.
_LOOK_BELOW = frozenset({"margin", "agreement"})


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
    labels: tuple[str, ...] = ()  # of the label config, that get regions; empty: all
    closer_looks: bool = True


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
    """A prediction, or the reason why there is none.

    reached   whether it was tried at all
    passing   whether another try may do better, since the image did not come
    """

    task_id: int | None
    prediction: Prediction | None
    reason: str = ""
    reached: bool = True
    passing: bool = False


class Predictor:
    """One model with its options; may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        source: ImageSource,
        options: PredictorOptions,
        pool: FairPool,
        cache: ResultCache | None = None,
    ) -> None:
        """`cache` may be shared with other predictors, of other models too."""
        self.engine = engine
        self.options = options
        self.cache = cache
        self._pool = pool
        self._results = ImageResults(engine, source, options.limits, options.max_detections, cache)
        self._prompter = Prompter(
            engine,
            self._results,
            options.regions,
            options.max_detections,
            closer_looks=options.closer_looks,
        )
        self.planner = ConfigPlanner(
            engine.contract,
            engine.model_digest,
            options.choice,
            command_line_threshold=options.command_line_threshold,
            settings_threshold=options.settings_threshold,
            only=options.labels,
        )

    def plan(self, label_config: str, tuned: Mapping[str, float] | None = None) -> ConfigPlan:
        """Read a label config for this model, with thresholds tuned for its project.

        Raises LabelConfigError.
        """
        return self.planner.plan(label_config, tuned)

    def predict_tasks(
        self,
        tasks: Sequence[Mapping[str, Any]],
        label_config: str,
        deadline: float = float("inf"),
        tuned: Mapping[str, float] | None = None,
    ) -> list[TaskOutcome]:
        """Predict all tasks in order, until `deadline` (time.monotonic, seconds) at the latest.

        `tuned`: thresholds tuned for the project, by model label. Each task is
        `{"id": ..., "data": {...}}`. A task that failed, or was not reached, has an outcome with
        the reason; the others are not touched by it. Raises LabelConfigError.
        """
        plan = self.plan(label_config, tuned)
        jobs = [partial(self._predicted, task, plan, deadline) for task in tasks]
        return self._run(tasks, jobs, deadline)

    def _run(
        self,
        tasks: Sequence[Mapping[str, Any]],
        jobs: Sequence[Callable[[], TaskOutcome]],
        deadline: float,
    ) -> list[TaskOutcome]:
        outcomes = []
        for task, result in zip(tasks, self._pool.run(jobs, deadline), strict=True):
            if isinstance(result, NotReached):
                outcomes.append(TaskOutcome(_task_id(task), None, str(result), reached=False))
            elif isinstance(result, BaseException):
                raise result
            else:
                outcomes.append(result)
        return outcomes

    def answer_prompts(
        self,
        tasks: Sequence[Mapping[str, Any]],
        label_config: str,
        context: object,
        deadline: float = float("inf"),
        tuned: Mapping[str, float] | None = None,
    ) -> list[TaskOutcome]:
        """What an annotator points at with smart tools (`params.context` of a /predict).

        A context without a prompt that can be used gets predictions without regions; the model
        looks at the images all the same, so that the first prompt finds its result in the cache.
        Raises LabelConfigError.
        """
        plan = self.plan(label_config, tuned)
        prompts = read_prompts(context)
        jobs = [partial(self._prompted, task, plan, prompts, deadline) for task in tasks]
        return self._run(tasks, jobs, deadline)

    def predict_task(
        self, task: Mapping[str, Any], plan: ConfigPlan, deadline: float = float("inf")
    ) -> Prediction:
        """Predict one task in this thread. Raises LabelvinoError."""
        found = self.look(task, plan, deadline=deadline)
        return self.assemble(plan, found, _task_id(task))

    def look(
        self,
        task: Mapping[str, Any],
        plan: ConfigPlan,
        min_score: float | None = None,
        deadline: float = float("inf"),
    ) -> list[tuple[ImageTag, int | None, Detections]]:
        """What is found in each image of a task, as `assemble` takes it.

        `min_score`: None looks as far down as the plan or the score may use. Raises LabelvinoError.
        """
        task_id = _task_id(task)
        found = []
        for tag, url, item_index in task_images(task, plan):
            floor = self._lowest_score(plan.plans[tag.name]) if min_score is None else min_score
            detections = self._results.of_address(url, floor, task_id=task_id, deadline=deadline)
            found.append((tag, item_index, detections))
        return found

    def detect(self, data: bytes, plan: RegionPlan) -> tuple[DecodedImage, Detections]:
        """An image, and all detections in it that the plan or the score may use; never cached.

        Raises ImageError or InferenceError.
        """
        return self._results.of_image(data, self._lowest_score(plan))

    def _lowest_score(self, plan: RegionPlan) -> float:
        floor = plan.lowest_threshold
        return min(floor, FLOOR_SCORE) if self.options.score_strategy in _LOOK_BELOW else floor

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

    def _predicted(self, task: Mapping[str, Any], plan: ConfigPlan, deadline: float) -> TaskOutcome:
        return _outcome(task, lambda: self.predict_task(task, plan, deadline))

    def _prompted(
        self, task: Mapping[str, Any], plan: ConfigPlan, prompts: Prompts | None, deadline: float
    ) -> TaskOutcome:
        def predict() -> Prediction:
            if prompts is None:
                self.predict_task(task, plan, deadline)
                return Prediction(plan.model_version, 0.0, ())
            regions = self._prompter.answer(task, plan, prompts, deadline)
            score = max((region["score"] for region in regions), default=0.0)
            return Prediction(plan.model_version, score, tuple(regions))

        return _outcome(task, predict)


def _outcome(task: Mapping[str, Any], predict: Callable[[], Prediction]) -> TaskOutcome:
    task_id = _task_id(task)
    try:
        outcome = TaskOutcome(task_id, predict())
    except LabelvinoError as error:
        passing = isinstance(error, FetchError) and error.passing
        outcome = TaskOutcome(task_id, None, str(error), passing=passing)
    except Exception as error:
        # A fault of ours must cost this task only; the log has the details.
        log.exception("task %s: unexpected error", task_id)
        outcome = TaskOutcome(task_id, None, f"unexpected {type(error).__name__}; see the log")
    if outcome.prediction is None:
        log.warning("task %s: no prediction: %s", task_id, outcome.reason)
    return outcome


def task_images(
    task: Mapping[str, Any], plan: ConfigPlan
) -> Iterator[tuple[ImageTag, str, int | None]]:
    """Image tags of the plan with something to predict, the address, the place in a list."""
    for name, region_plan in plan.plans.items():
        if region_plan.is_empty:
            continue
        tag = plan.config.image(name)
        data = task.get("data")
        for index, url in enumerate(tag.addresses(data if isinstance(data, Mapping) else {})):
            yield tag, url, index if tag.is_list else None


def _task_id(task: Mapping[str, Any]) -> int | None:
    task_id = task.get("id")
    return task_id if isinstance(task_id, int) else None
