"""Corrections, Start Training, new thresholds: all through a real Label Studio."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from backend_server import BackendServer
from conftest import MakeProject
from studio_api import LabelStudio
from studio_server import LEGACY_TOKEN, StudioServer

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, draw_scene
from backend.labelstudio.config_writer import write_label_config
from backend.runtime.engine import load_contract
from backend.runtime.overlay import label_colours

LABELS = load_contract(MODEL_PATH).label_names
CONFIG = write_label_config(LABELS, ("polygon",), label_colours(LABELS))
# What people leave in the annotations: all that the model finds from this score on.
TRUTH = CONFIG.replace("<PolygonLabels ", '<PolygonLabels model_score_threshold="0.5" ')
TASKS, LOOKED_AT = 24, 22
ENDS_S = 120.0


@pytest.fixture
def backend(studio: StudioServer, artifacts: Path, tmp_path: Path) -> Iterator[BackendServer]:
    """The demo's model with a threshold that is far too high."""
    for suffix in (".xml", ".bin"):
        shutil.copy(MODEL_PATH.with_suffix(suffix), tmp_path)
    settings = {
        "LABEL_STUDIO_URL": studio.url,
        "LABEL_STUDIO_API_KEY": LEGACY_TOKEN,
        "HOME": str(tmp_path),
        "LABELVINO_STATE_DIR": str(tmp_path / "state"),
        "LABELVINO_SCORE_THRESHOLD": "0.98",
        "LABELVINO_TUNE_ON_TRAINING": "apply",
        "LABELVINO_TUNE_TASKS": str(LOOKED_AT),
    }
    server = BackendServer(tmp_path / MODEL_PATH.name, settings, (), artifacts / "tuning.log")
    yield server
    server.stop()


def own_predictions(backend: BackendServer, task: dict[str, Any], config: str) -> list[Any]:
    """Regions of a task, asked of the backend itself."""
    row = {"id": task["id"], "data": task["data"]}
    body = {"tasks": [row], "label_config": config, "project": "0.0"}
    answer = httpx2.post(f"{backend.url}/predict", json=body, timeout=60, trust_env=False)
    (result,) = answer.raise_for_status().json()["results"]
    found: list[Any] = result["result"]
    return found


def trained(backend: BackendServer) -> dict[str, Any]:
    """What came of Start Training."""
    ends_at_s = time.monotonic() + ENDS_S
    while time.monotonic() < ends_at_s:
        answer = httpx2.get(f"{backend.url}/training", timeout=10, trust_env=False).json()
        if answer["projects"] and answer["projects"][0]["state"] == "done":
            run: dict[str, Any] = answer["projects"][0]
            return run
        time.sleep(0.2)
    raise AssertionError("Start Training did not end")


def test_start_training_changes_the_thresholds_and_the_version(
    api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    scenes = (draw_scene(FIRST_UNSEEN_SEED + i, 480, 320) for i in range(TASKS))
    api.upload(project, [(f"{i}.jpg", encode_jpeg(scene)) for i, scene in enumerate(scenes)])
    tasks = api.tasks(project)
    ids = [task["id"] for task in tasks]
    backend_id = api.connect_backend(project, backend.url)
    api.retrieve_predictions(project, ids)
    before = {task_id: api.predictions(task_id) for task_id in ids}
    assert all(len(found) == 1 for found in before.values())
    (old_version,) = {found[0]["model_version"] for found in before.values()}

    drawn = 0
    for task in tasks:
        result = own_predictions(backend, task, TRUTH)
        drawn += len(result)
        parent = before[task["id"]][0]["id"]
        api.call(
            "POST", f"/api/tasks/{task['id']}/annotations/",
            json={"result": result, "lead_time": 20.0, "parent_prediction": parent},
        )  # fmt: skip
    shown = sum(len(found[0]["result"]) for found in before.values())
    assert shown < drawn / 2  # most objects were missed

    api.call("POST", f"/api/ml/{backend_id}/train", json={"use_ground_truth": False})
    run = trained(backend)
    assert run["outcome"] == "applied", run
    assert f"{TASKS - LOOKED_AT} older corrected tasks were not looked at" in run["sentence"]
    assert "the network is not trained" in backend.log_text()
    assert "They are in force." in backend.log_text()

    # Label Studio sees a new version when it asks, and asks for predictions of it.
    (row,) = api.call("GET", "/api/ml/", params={"project": project.id})
    new_version = row["model_version"]
    assert new_version != old_version
    for _ in range(2):
        api.retrieve_predictions(project, ids)
        after = {task_id: api.predictions(task_id) for task_id in ids}
        for found in after.values():
            versions = [prediction["model_version"] for prediction in found]
            assert versions.count(new_version) == 1
            assert sorted(versions) == sorted([old_version, new_version])
    now = sum(
        len(prediction["result"])
        for found in after.values()
        for prediction in found
        if prediction["model_version"] == new_version
    )
    assert now >= 0.9 * drawn
    events = httpx2.get(f"{backend.url}/metrics", timeout=10, trust_env=False).text
    assert 'labelvino_webhook_events_total{action="ANNOTATION_CREATED"}' in events
    assert "Traceback" not in backend.log_text()
