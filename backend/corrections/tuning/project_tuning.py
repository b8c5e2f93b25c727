"""A project's corrected tasks -> what its thresholds should be; stored where that is wished."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import islice

from backend.config_plan import ConfigPlan
from backend.corrections.history import AnnotatedTask, annotated_tasks
from backend.corrections.tuning.evidence import GRID, TaskEvidence
from backend.corrections.tuning.judging import ThresholdsInForce, judge, thresholds_in_force
from backend.corrections.tuning.tuning import Tuning, TuningOptions, tune
from backend.fair_pool import FairPool, NotReached
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import (
    Condition,
    ProjectTasks,
    behind,
    with_annotations,
)
from backend.predictor import Predictor
from backend.runtime.errors import LabelvinoError
from backend.tuned.reader import Stored
from backend.tuned.record import TunedRecord
from backend.tuned.store import TunedStore

_AT_ONCE = 32  # tasks, of which masks are in memory
_GIVE_UP_S = 60.0


class StoppedError(LabelvinoError):
    """The tuning was told to stop."""


class ChangedError(LabelvinoError):
    """Others were stored while the project was tuned."""


@dataclass(frozen=True)
class ProjectTuning:
    """What came of it.

    before     thresholds tuned earlier, by model label, that are in force now; with their record
    left_out   corrected tasks that say nothing, and why
    older      corrected tasks beyond the number that is looked at
    """

    project: Project
    plan: ConfigPlan
    labels: tuple[str, ...]
    model_digest: str
    in_force: ThresholdsInForce
    before: Stored
    options: TuningOptions
    tuning: Tuning
    left_out: Mapping[int, str]
    older: int = 0

    @property
    def thresholds(self) -> dict[str, float]:
        """All that would be in force as tuned ones, by model label."""
        changes = {self.labels[label]: value for label, value in self.tuning.changes.items()}
        return {**self.before.thresholds, **changes}

    def store(self, store: TunedStore, label_studio: str) -> None:
        """Put them in force. `label_studio`: its address, as messages may show it.

        Raises StateError, and ChangedError where others were stored meanwhile.
        """
        record = TunedRecord(
            self.project.uid,
            self.model_digest,
            self.thresholds,
            self.tuning.tasks,
            self.options.objective,
            datetime.now(UTC).isoformat(timespec="seconds"),
            self.project.title,
            label_studio,
        )
        place = record.project, record.model_digest
        if not store.put(*place, record.to_bytes(), instead_of=self.before.data):
            raise ChangedError(
                f"the tuned thresholds of project {self.project.shown} were changed by somebody "
                "else meanwhile: nothing is stored; tune again to begin with theirs."
            )


@dataclass(frozen=True)
class TuningWork:
    """How a project is tuned.

    most_tasks  that are looked at: the corrected ones that were added last
    advance     told of each task
    stopped     asked now and then
    """

    api: LabelStudioApi
    predictor: Predictor
    pool: FairPool
    options: TuningOptions
    most_tasks: int
    advance: Callable[[int], None] = lambda _: None
    stopped: Callable[[], bool] = lambda: False

    def run(self, project: Project, before: Stored) -> ProjectTuning:
        """`before`: what was stored earlier. Changes nothing.

        What the result cache has costs no inference. Raises LabelvinoError.
        """
        engine = self.predictor.engine
        labels = engine.contract.label_names
        plan = self.predictor.plan(project.label_config, before.thresholds)
        command_line = self.predictor.options.command_line_threshold
        in_force = thresholds_in_force(plan, labels, command_line)
        floor = min((float(GRID[0]), *in_force.tunable.values()))
        evidence: list[TaskEvidence] = []
        left_out: dict[int, str] = {}
        older = 0
        if in_force.tunable:
            # Predictions are made anew from the candidates: which one was shown does not matter.
            first, older = self._first(project)
            tasks = annotated_tasks(self.api, project, *first, current_version="")
            for task_id, outcome in self._judged(tasks, plan, floor):
                if isinstance(outcome, TaskEvidence):
                    evidence.append(outcome)
                else:
                    left_out[task_id] = outcome
        self._check_stopped()
        return ProjectTuning(
            project,
            plan,
            labels,
            engine.model_digest,
            in_force,
            before,
            self.options,
            tune(evidence, in_force.tunable, self.options),
            left_out,
            older,
        )

    def _first(self, project: Project) -> tuple[list[Condition], int]:
        """What tells the tasks that are looked at, and how many older ones there are."""
        tasks, patience = ProjectTasks(self.api.calls, project.id), Patience(give_up_s=_GIVE_UP_S)
        ask = partial(tasks.behind_which, self.most_tasks, with_annotations())
        task_id, older = patience.call(ask)
        return ([behind(task_id)] if older else []), older

    def _check_stopped(self) -> None:
        if self.stopped():
            raise StoppedError("stopped before all of it was done.")

    def _judged(
        self, tasks: Iterator[AnnotatedTask], plan: ConfigPlan, floor: float
    ) -> Iterator[tuple[int, TaskEvidence | str]]:
        """Task ids with what each says, or why it says nothing. Raises StoppedError."""
        while some := list(islice(tasks, _AT_ONCE)):
            self._check_stopped()
            jobs = [partial(self._judge, task, plan, floor) for task in some]
            for task, outcome in zip(some, self.pool.run(jobs), strict=True):
                if isinstance(outcome, NotReached):
                    raise StoppedError("stopped before all corrected tasks were looked at.")
                if isinstance(outcome, TaskEvidence):
                    yield task.task_id, outcome
                elif isinstance(outcome, LabelvinoError):
                    yield task.task_id, str(outcome)
                else:
                    raise outcome
            self.advance(len(some))

    def _judge(self, task: AnnotatedTask, plan: ConfigPlan, floor: float) -> TaskEvidence:
        row = {"id": task.task_id, "data": task.data}
        return judge(task, self.predictor.look(row, plan, floor), plan)
