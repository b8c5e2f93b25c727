"""The whole loop on 40 real photos and a real Label Studio: a converted model pre-annotates, a
script corrects to the truth, and what is reported, reviewed, exported and tuned fits to it."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from backend_server import BackendServer
from conftest import MakeBackend
from pycocotools.coco import COCO
from queue_processes import BulkCommands
from redis_server import RedisServer
from studio_api import LabelStudio, Project
from studio_server import LEGACY_TOKEN, StudioServer
from truth_annotator import Counts, TruthAnnotator

from backend.labelstudio.config_writer import write_label_config
from backend.runtime.overlay import label_colours

PHOTOS = 40
TRAINING_TIMEOUT_S = 90.0
FATES = ("kept", "reshaped", "relabelled", "deleted", "added")


@dataclass
class Loop:
    """A project that was pre-annotated with `version` and corrected; `images`: COCO's image id of
    each task; `counts`: what the script did."""

    project: Project
    version: str
    images: dict[int, int]
    counts: Counts

    @property
    def task_ids(self) -> list[int]:
        return list(self.images)


@pytest.fixture(scope="module")
def truth(instances_json: Path) -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(instances_json))


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """What the model found in a photo is kept here, so that the loop has one inference a photo."""
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def commands(
    studio: StudioServer,
    redis: RedisServer,
    model: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[BulkCommands]:
    env = {
        "LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY_TOKEN, "COLUMNS": "200",
        "LABELVINO_REDIS_URL": redis.url, "LABELVINO_MODEL": str(model),
        "LABELVINO_DEVICE": "CPU", "LABELVINO_SCORE_STRATEGY": "agreement",
    }  # fmt: skip
    started = BulkCommands(tmp_path_factory.mktemp("loop"), env)
    yield started
    started.close()


def answer(
    commands: BulkCommands, name: str, *arguments: object, env: dict[str, str] | None = None
) -> Any:
    """The JSON that a command prints; `env`: besides that of all commands."""
    ran = commands.run(name, *map(str, arguments), "--json", env=env)
    assert ran.ended() == 0, ran.talk
    return ran.answer


@pytest.fixture(scope="module")
def loop(
    api: LabelStudio, commands: BulkCommands, model: Path, photos_dir: Path, truth: COCO
) -> Loop:
    names = tuple(category["name"] for category in truth.dataset["categories"])
    config = write_label_config(names, ("polygon", "brush"), label_colours(names))
    project = api.create_project("The loop on photos", config)
    wanted = list(truth.imgs.values())[:PHOTOS]
    photos = [(each["file_name"], (photos_dir / each["file_name"]).read_bytes()) for each in wanted]
    task_ids = api.upload(project, photos)
    done = answer(commands, "prelabel", "prelabel", "--project", project.id)
    annotator = TruthAnnotator(truth)
    images = dict(zip(task_ids, (each["id"] for each in wanted), strict=True))
    for task in api.tasks(project):
        (prediction,) = task["predictions"]
        result = annotator.corrected(images[task["id"]], prediction["result"])
        body = {"result": result, "lead_time": 30.0, "parent_prediction": prediction["id"]}
        api.call("POST", f"/api/tasks/{task['id']}/annotations/", json=body)
    return Loop(project, done["model_version"], images, annotator.counts)


def test_the_script_has_done_a_bit_of_everything(loop: Loop) -> None:
    assert all(loop.counts.total[fate] >= 10 for fate in FATES), loop.counts.total
    assert loop.counts.final > 300


def test_report_counts_what_the_script_did(
    loop: Loop, commands: BulkCommands, artifacts: Path
) -> None:
    page = artifacts / "loop-report.html"
    found = answer(commands, "report", "report", "--project", loop.project.id, "--html", page)
    total, counts = found["total"], loop.counts
    assert {fate: total[fate] for fate in FATES} == {fate: counts.total[fate] for fate in FATES}
    predicted = sum(counts.total[fate] for fate in FATES[:4])
    right = counts.total["kept"] + counts.total["reshaped"]
    assert (total["predicted"], total["final"]) == (predicted, counts.final)
    assert total["precision"] == pytest.approx(right / predicted)
    assert total["recall"] == pytest.approx(right / counts.final)
    ious = [1.0] * counts.total["kept"] + counts.reshaped_ious
    assert total["mean_iou"] == pytest.approx(np.mean(ious), abs=1e-9)
    for row in found["labels"]:
        done = {fate: counts.by_label[fate, row["label"]] for fate in FATES}
        assert {fate: row[fate] for fate in FATES} == done, row["label"]
    assert found["tasks"]["began_with_prediction"] == PHOTOS
    assert page.stat().st_size > 100_000


def test_export_is_the_truth_again(
    loop: Loop, commands: BulkCommands, truth: COCO, photos_dir: Path, tmp_path: Path, model: Path
) -> None:
    out = tmp_path / "out"
    given = ["--project", loop.project.id, "--coco", out, "--images", "--model", model]
    said = answer(commands, "export", "export", *given)
    assert (said["tasks"], said["failed"], said["regions_not_read"]) == (PHOTOS, [], [])
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(str(out / "instances.json"))
    assert len(found.anns) == loop.counts.final
    names = {each["name"]: each["id"] for each in truth.cats.values()}
    assert all(names[each["name"]] == each["id"] for each in found.cats.values())
    same = 0
    for image in found.imgs.values():
        original = truth.imgs[loop.images[image["task_id"]]]
        assert (image["width"], image["height"]) == (original["width"], original["height"])
        photo = (out / "images" / image["file_name"]).read_bytes()
        assert photo == (photos_dir / original["file_name"]).read_bytes()
        masks = {
            (each["category_id"], truth.annToMask(each).tobytes())
            for each in truth.imgToAnns[original["id"]]
        }
        for each in found.imgToAnns[image["id"]]:
            same += (each["category_id"], found.annToMask(each).tobytes()) in masks
    # All but those that were left in the shape of the prediction.
    assert same == loop.counts.total["reshaped"] + loop.counts.total["added"]


def test_the_data_manager_shows_what_needs_most_corrections_first(
    loop: Loop, api: LabelStudio
) -> None:
    """By the predictions' score, upwards; beyond what 999 of 1000 orders by chance do."""
    shown = in_data_manager(api, loop, ordering=["tasks:predictions_score"])
    corrections = np.array([loop.counts.by_image[loop.images[task_id]] for task_id in shown])
    third = PHOTOS // 3
    numbers = np.random.default_rng(0)
    chance = [numbers.permutation(corrections)[:third].sum() for _ in range(4000)]
    assert corrections[:third].sum() > np.quantile(chance, 0.999)


def data_of(api: LabelStudio, loop: Loop) -> dict[int, dict[str, Any]]:
    return {task["id"]: task["data"] for task in api.tasks(loop.project)}


def annotated_regions(api: LabelStudio, loop: Loop) -> dict[int, Any]:
    found = [each for task in api.tasks(loop.project) for each in task["annotations"]]
    return {each["id"]: (each["updated_at"], each["result"]) for each in found}


def in_data_manager(api: LabelStudio, loop: Loop, **query: Any) -> list[int]:
    """Task ids that the Data Manager shows, in its order."""
    asked = {"project": loop.project.id, "page_size": 100, "query": json.dumps(query)}
    return [task["id"] for task in api.call("GET", "/api/tasks/", params=asked)["tasks"]]


def review_columns(api: LabelStudio, loop: Loop) -> set[str]:
    found = api.call("GET", "/api/dm/columns/", params={"project": loop.project.id})["columns"]
    return {each["id"] for each in found if str(each["id"]).startswith("labelvino_")}


def test_the_data_manager_sorts_and_filters_by_a_review(
    loop: Loop, commands: BulkCommands, api: LabelStudio, artifacts: Path
) -> None:
    before = data_of(api, loop)
    annotated = annotated_regions(api, loop)
    given = ["review", "--project", loop.project.id]
    sheets = artifacts / "loop-review"
    said = answer(commands, "review", *given, "--write", "--sheets", sheets)
    assert (said["tasks"], said["failed"]) == (PHOTOS, [])
    highest = dict.fromkeys(loop.task_ids, 0.0)
    missing = dict.fromkeys(loop.task_ids, 0)
    for each in said["findings"]:
        highest[each["task"]] = max(highest[each["task"]], round(each["confidence"], 3))
        missing[each["task"]] += each["kind"] == "missing"
    after = data_of(api, loop)
    assert {i: data["labelvino_review"] for i, data in after.items()} == highest
    assert all(before[i].items() <= data.items() for i, data in after.items())
    names = ("review", "missing", "spurious", "mislabelled")
    assert review_columns(api, loop) == {f"labelvino_{name}" for name in names}
    shown = in_data_manager(api, loop, ordering=["-tasks:data.labelvino_review"])
    values = [highest[i] for i in shown]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 10
    several = {
        "filter": "filter:tasks:data.labelvino_missing", "operator": "greater",
        "type": "Number", "value": 2,
    }  # fmt: skip
    filtered = in_data_manager(api, loop, filters={"conjunction": "and", "items": [several]})
    assert set(filtered) == {i for i, number in missing.items() if number > 2} != set()
    assert len(list(sheets.glob("review-*.png"))) > 5

    again = commands.run("again", *map(str, given), "--write")
    assert again.ended() == 0, again.talk
    assert "0 tasks changed" in again.talk
    assert data_of(api, loop) == after
    cleared = commands.run("clear", *map(str, given), "--clear")
    assert cleared.ended() == 0, cleared.talk
    assert data_of(api, loop) == before
    assert review_columns(api, loop) == set()
    assert annotated_regions(api, loop) == annotated


def test_tune_is_honest_on_photos(loop: Loop, commands: BulkCommands) -> None:
    """40 photos prove no gain against the model's own threshold, so nothing is proposed."""
    found = answer(commands, "tune", "tune", "--project", loop.project.id)
    assert (found["tasks"], found["left_out"]) == (PHOTOS, {})
    assert all(row["new"] == row["old"] == 0.5 for row in found["labels"])
    assert (found["proposed"], found["thresholds"]) == (False, {})
    assert sum(row["objects"] for row in found["labels"]) == loop.counts.final


def retrieved(api: LabelStudio, loop: Loop, version: str) -> dict[int, set[tuple[str, float]]]:
    """Retrieve Predictions for all tasks; label and score of each instance of this version."""
    api.retrieve_predictions(loop.project, loop.task_ids)
    found = {}
    for task in api.tasks(loop.project):
        versions = [each["model_version"] for each in task["predictions"]]
        assert len(versions) == len(set(versions)), task["id"]
        (own,) = [each for each in task["predictions"] if each["model_version"] == version]
        found[task["id"]] = {(r["value"][r["type"]][0], r["score"]) for r in own["result"]}
    return found


def stored(api: LabelStudio, loop: Loop) -> list[int]:
    """Ids of all predictions."""
    return [each["id"] for task in api.tasks(loop.project) for each in task["predictions"]]


def backend_version(api: LabelStudio, backend_id: int) -> str:
    """As Label Studio has it, which asks the backend for it."""
    return str(api.call("GET", f"/api/ml/{backend_id}")["model_version"])


def training_of(backend: BackendServer, project: Project) -> dict[str, Any]:
    """What came of Start Training, when it is done."""
    ends_at_s = time.monotonic() + TRAINING_TIMEOUT_S
    while time.monotonic() < ends_at_s:
        runs = httpx2.get(f"{backend.url}/training", trust_env=False).json()["projects"]
        for run in runs:
            if run["project"] == project.id and run["state"] == "done":
                return dict(run)
        time.sleep(0.2)
    pytest.fail(f"Start Training did not end: {backend.log_text()[-2000:]}")


def test_start_training_puts_better_thresholds_in_force(
    loop: Loop,
    api: LabelStudio,
    commands: BulkCommands,
    start_backend: MakeBackend,
    redis: RedisServer,
) -> None:
    """A backend that shows far too much; what people deleted says so."""
    loose = {"LABELVINO_SCORE_THRESHOLD": "0.1", "LABELVINO_REDIS_URL": redis.url}
    backend = start_backend(LABELVINO_TUNE_ON_TRAINING="apply", **loose)
    backend_id = api.connect_backend(loop.project, backend.url)
    old_version = backend_version(api, backend_id)
    before = retrieved(api, loop, old_version)
    proposed = answer(commands, "proposed", "tune", "--project", loop.project.id, env=loose)
    thresholds = proposed["thresholds"]
    assert proposed["proposed"]
    assert proposed["effect"]["low"] > 0
    assert min(thresholds.values()) > 0.3

    api.call("POST", f"/api/ml/{backend_id}/train", json={})
    run = training_of(backend, loop.project)
    assert run["outcome"] == "applied", run
    new_version = backend_version(api, backend_id)
    assert new_version != old_version
    after = retrieved(api, loop, new_version)
    assert after == {
        task_id: {(label, score) for label, score in shown if score >= thresholds[label]}
        for task_id, shown in before.items()
    }
    assert sum(map(len, after.values())) < sum(map(len, before.values())) / 2
    known = stored(api, loop)
    assert retrieved(api, loop, new_version) == after
    assert stored(api, loop) == known

    reset = commands.run("reset", "tune", "--project", str(loop.project.id), "--reset", env=loose)
    assert reset.ended() == 0, reset.talk
    assert backend_version(api, backend_id) == old_version
