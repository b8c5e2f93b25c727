"""One chunk of tasks: read, predicted, written; the same in this process and in a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.bulk.coverage import drop_covered
from backend.bulk.prediction_store import PredictionStore
from backend.bulk.selection import Selection
from backend.bulk.tally import Tally
from backend.config_plan import ConfigPlan
from backend.labelstudio.json_calls import Row
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import BLANK_VERSION, ProjectTasks
from backend.predictor import Predictor, task_images

_TRIES = 3  # of an image that did not come
_WAIT_S = 1.0  # before the second try, and double before the third


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
        tuned: Mapping[str, float] | None = None,
    ) -> None:
        """`tuned`: thresholds tuned for the project, by model label."""
        self._tasks = tasks
        self._predictor = predictor
        self._label_config = label_config
        self._options = options
        self.patience = patience
        self._tuned = tuned
        self.plan: ConfigPlan = predictor.plan(label_config, tuned)
        selection = options.selection
        self._conditions = selection.conditions(self.plan.model_version)
        self._store = PredictionStore(
            tasks, self._conditions, patience, replace=selection.replace, rate=options.rate
        )

    def predict(self, task_ids: Sequence[int]) -> Tally:
        """Give these tasks predictions, but for those that have one by now.

        May be called again for the same tasks at any time, also after it was broken off. Raises
        LabelStudioError where Label Studio stays away.
        """
        tally = Tally()
        made: list[Row] = []
        ids = list(dict.fromkeys(task_ids))
        for number in range(1, _TRIES + 1):
            rows = self._fetch(ids)
            tally.skipped += len(ids) - len(rows)
            ids = self._predict(rows, made, tally, last_try=number == _TRIES)
            if not ids:
                break
            # The image did not come: Label Studio may be restarting, and reading waits for it.
            self.patience.pause(_WAIT_S * number)
        tally.add(self._store.write(made))
        return tally

    def leave_blank(self, task_ids: Sequence[int]) -> Tally:
        """Mark tasks as left without pre-annotation on purpose."""
        marks = [
            {"task": task_id, "model_version": BLANK_VERSION, "score": 0.0, "result": []}
            for task_id in task_ids
        ]
        written = self._store.write(marks)
        return Tally(blank=written.done, skipped=written.skipped, failed=written.failed)

    def _fetch(self, task_ids: list[int]) -> list[Row]:
        with_annotations = self._options.covered_share is not None
        return self.patience.call(
            lambda: self._tasks.fetch(task_ids, *self._conditions, annotations=with_annotations)
        )

    def _predict(
        self, rows: list[Row], made: list[Row], tally: Tally, *, last_try: bool
    ) -> list[int]:
        """Add to `made` and `tally`; gives the tasks that another try may help."""
        again = []
        outcomes = self._predictor.predict_tasks(rows, self._label_config, tuned=self._tuned)
        for row, outcome in zip(rows, outcomes, strict=True):
            task_id = int(row["id"])
            if outcome.prediction is not None:
                made.append(self._with_task(row, outcome.prediction.to_json()))
                tally.images += sum(1 for _ in task_images(row, self.plan))
            elif not outcome.reached:
                tally.left_ids.append(task_id)
            elif outcome.passing and not last_try and not self.patience.stopped:
                again.append(task_id)
            else:
                tally.failed[task_id] = outcome.reason
        return again

    def _with_task(self, row: Row, prediction: dict[str, Any]) -> Row:
        share = self._options.covered_share
        if share is not None:
            regions = drop_covered(prediction["result"], row.get("annotations") or (), share)
            prediction = {**prediction, "result": regions}
        return {"task": int(row["id"]), **prediction}
