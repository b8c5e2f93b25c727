"""Pre-annotations for the tasks of a project, written into Label Studio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.bulk.chunk import ChunkOptions, ChunkWork
from backend.bulk.job import CHUNK, Advance, listed_parts, planned_parts, run_chunks
from backend.bulk.selection import Plan, Selection, listed_ids, make_plan
from backend.fair_pool import FairPool
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import (
    ProjectTasks,
    with_more_predictions_than,
    with_version,
)
from backend.predictor import Predictor


@dataclass
class Prelabelling:
    """One project, with one model; `run` may be called again and completes what is missing."""

    api: LabelStudioApi
    project: Project
    predictor: Predictor
    pool: FairPool
    options: ChunkOptions
    patience: Patience = field(default_factory=Patience)
    tuned: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks = ProjectTasks(self.api.calls, self.project.id)
        self.work = ChunkWork(
            self.tasks,
            self.predictor,
            self.project.label_config,
            self.options,
            self.patience,
            self.tuned,
        )

    @property
    def model_version(self) -> str:
        return self.work.plan.model_version

    def make_plan(self) -> Plan:
        """Raises LabelStudioError."""
        selection: Selection = self.options.selection
        return self.patience.call(lambda: make_plan(self.tasks, selection, self.model_version))

    def run(self, plan: Plan, advance: Advance) -> None:
        """Predict and write; at the end annotators see the predictions. Raises LabelStudioError."""
        run_chunks(self.work, planned_parts(plan), advance, self.pool)
        self.finish()

    def count(self) -> int:
        """About how many tasks `run_listed` will take. Raises LabelStudioError."""
        selection = self.options.selection
        conditions = selection.conditions(self.model_version)
        found = self.patience.call(lambda: self.tasks.count(*conditions))
        return found if selection.limit is None else min(found, selection.limit)

    def run_listed(self, advance: Advance) -> None:
        """As `run` of what `make_plan` would give, but it begins with the first page of tasks.

        For a selection that can be listed.
        """
        selection = self.options.selection
        ids = listed_ids(self.tasks, selection, self.model_version, self.patience)
        run_chunks(self.work, listed_parts(ids, selection), advance, self.pool)
        self.finish()

    def finish(self) -> None:
        """One prediction of this version a task, and the project shows them."""
        self.patience.call(self._remove_doubles)
        if self.patience.call(self._is_stored):
            changes = {"model_version": self.model_version, "show_collab_predictions": True}
            self.patience.call(lambda: self.api.change_project(self.project, changes))

    def _is_stored(self) -> bool:
        """Label Studio takes only versions that exist."""
        return bool(self.api.prediction_counts(self.project).get(self.model_version))

    def _remove_doubles(self) -> None:
        """Two writers at the same moment, or a write that was repeated, can leave two."""
        stored = self.api.prediction_counts(self.project).get(self.model_version, 0)
        if stored <= self.tasks.count(with_version(self.model_version)):
            return
        several = (with_version(self.model_version), with_more_predictions_than(1))
        ids = [int(row["id"]) for page in self.tasks.pages(*several) for row in page]
        for start in range(0, len(ids), CHUNK):
            rows = self.tasks.fetch(ids[start : start + CHUNK], annotations=True)
            for row in rows:
                found = sorted(
                    int(prediction["id"])
                    for prediction in row["predictions"]
                    if prediction["model_version"] == self.model_version
                )
                for prediction_id in found[:-1]:  # the newest stays, as with --replace
                    self.tasks.delete_prediction(prediction_id)
