"""Memory of a run over files: bounded by batches, not by tasks."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from bulk_parts import CONFIG

from backend.bulk.offline.journal import Journal
from backend.bulk.offline.run import OfflineRun
from backend.bulk.offline.task_source import TaskSource
from backend.bulk.tally import Tally
from backend.config_plan import ConfigPlan, ConfigPlanner
from backend.fair_pool import FairPool
from backend.predictor import Prediction, Predictor, TaskOutcome
from tests.toy_model import toy_contract

TASKS = 5000
TASK_BYTES = 4000
PEAK_BYTES = 6_000_000  # of 20 MB that are read, and as much that is written


class NoModel:
    """Predicts nothing, at once."""

    def __init__(self) -> None:
        self.planner = ConfigPlanner(toy_contract(), "0" * 64)

    def plan(self, label_config: str) -> ConfigPlan:
        return self.planner.plan(label_config)

    def predict_tasks(
        self, tasks: Sequence[Mapping[str, Any]], label_config: str, deadline: float = 0.0
    ) -> list[TaskOutcome]:
        return [TaskOutcome(None, Prediction("v", 0.0, ())) for _ in tasks]


def test_memory_does_not_grow_with_the_tasks(tmp_path: Path) -> None:
    path = tmp_path / "tasks.json"
    with path.open("w") as file:
        file.write("[")
        for number in range(TASKS):
            data = {"image": f"{number}.jpg", "notes": "x" * TASK_BYTES}
            file.write(("," if number else "") + json.dumps({"data": data}))
        file.write("]")
    pool = FairPool(1)
    tally = Tally()
    predictor = cast(Predictor, NoModel())
    with Journal(tmp_path / "journal", {"a": "b"}) as journal:
        run = OfflineRun(TaskSource(path, "image"), journal, predictor, CONFIG)
        tracemalloc.start()
        try:
            assert run.count() == TASKS
            run.predict(pool, tally.add)
            run.write(tmp_path / "out.json")
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
            pool.close()
    assert tally.done == TASKS
    assert peak < PEAK_BYTES < path.stat().st_size / 3
    written = json.loads((tmp_path / "out.json").read_bytes())
    assert [task["data"]["image"] for task in written] == [f"{n}.jpg" for n in range(TASKS)]
