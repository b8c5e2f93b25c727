"""Pre-annotations for the tasks of a project, written into Label Studio."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.bulk.chunk import ChunkOptions, ChunkWork
from backend.bulk.job import CHUNK, Advance, run_chunks
from backend.bulk.selection import Plan, Selection, make_plan
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
        run_chunks(self.work, plan.predict, plan.blank, advance, self.pool)
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
