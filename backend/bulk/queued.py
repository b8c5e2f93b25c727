"""The same pre-annotations, made by workers on any machine, and waited for here."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from backend.bulk.job import Advance, chunks
from backend.bulk.job_queue import JobQueue, Kind
from backend.bulk.order import Order
from backend.bulk.selection import Plan, make_plan
from backend.config_plan import ConfigPlan
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import ProjectTasks
from backend.runtime.errors import LabelStudioError

log = logging.getLogger("labelvino")

_LOOK_EVERY_S = 1.0
_LOST_EVERY = 10  # looks
_ALONE_EVERY = 60

Jobs = dict[str, tuple[int, ...]]
"""The tasks of jobs, by job id."""


@dataclass
class QueuedPrelabelling:
    """One project; as Prelabelling, but the work is done by workers that have the same model."""

    api: LabelStudioApi
    project: Project
    plan: ConfigPlan
    order: Order
    jobs: JobQueue
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        self.tasks = ProjectTasks(self.api.calls, self.project.id)
        self._gone_once: set[str] = set()

    @property
    def model_version(self) -> str:
        return self.plan.model_version

    def make_plan(self) -> Plan:
        """Raises LabelStudioError."""
        selection = self.order.chunk.selection
        return self.patience.call(lambda: make_plan(self.tasks, selection, self.model_version))

    def enqueue(self, plan: Plan) -> Jobs:
        """Put what is not in the queue yet into it; gives the jobs that do the plan."""
        wanted: Iterator[tuple[Kind, Sequence[int]]] = iter(
            [("blank", ids) for ids in chunks(plan.blank)]
            + [("predict", ids) for ids in chunks(plan.predict)]
        )
        new, joined = self.jobs.plan(self.order, wanted)
        if joined:
            log.warning(
                "%d tasks are in the queue already, by another prelabel; their jobs are waited for",
                sum(map(len, joined.values())),
            )
        return new | joined

    def run(self, plan: Plan, advance: Advance) -> None:
        """Let workers do it, and wait for them. Raises LabelStudioError."""
        self._wait_for(self.enqueue(plan), advance)
        self.finish()

    def finish(self) -> None:
        """Wait for the last step, which a worker does, too. Raises LabelStudioError."""
        run_id, looks = self.order.run_id, 0
        run = self.jobs.ledger.run(run_id)
        if run is not None and not run.is_closed and not self.jobs.ledger.is_open(run_id):
            self.jobs.add_finish(self.order)
        while run is not None and not run.is_closed:
            looks += 1
            self._say_if_alone(looks)
            time.sleep(_LOOK_EVERY_S)
            run = self.jobs.ledger.run(run_id)
        if run is not None and run.error:
            raise LabelStudioError(run.error)

    def _wait_for(self, jobs: Jobs, advance: Advance) -> None:
        waiting, looks = dict(jobs), 0
        while waiting:
            found = self.jobs.ledger.results(self.order.run_id, list(waiting))
            for job_id, result in found.items():
                del waiting[job_id]
                waiting |= result.parts
                advance(result.tally)
            if not found:
                looks += 1
                if looks % _LOST_EVERY == 0:
                    self._find_lost(waiting)
                self._say_if_alone(looks)
                time.sleep(_LOOK_EVERY_S)

    def _find_lost(self, waiting: Jobs) -> None:
        """Jobs that Redis has forgotten are put into it again; seen twice, since a result may
        come between two questions."""
        there = self.jobs.existing(list(waiting))
        gone = waiting.keys() - there
        lost = {job_id: waiting[job_id] for job_id in gone & self._gone_once}
        self._gone_once = gone - lost.keys()
        if lost:
            log.warning("Redis has lost %d jobs: they are put into it again", len(lost))
            self.jobs.add_again(self.order, lost)

    def _say_if_alone(self, looks: int) -> None:
        if looks % _ALONE_EVERY == 3 and not self.jobs.workers():
            log.warning(
                "no worker has this model: start some, 'labelvino worker --queue ... --model ...'"
            )
