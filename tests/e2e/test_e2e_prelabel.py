"""`labelvino prelabel` and `labelvino rethreshold` with a real Label Studio, broken off and not."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from bulk_tasks import CONFIG, fill, prediction_counts
from conftest import MakeProject
from queue_processes import BulkCommands, QueueProcess
from redis_server import RedisServer
from studio_api import LabelStudio, Project
from studio_server import LEGACY_TOKEN, StudioServer

from backend.bulk.selection import BLANK_VERSION
from tests.unit.labelstudio.local_server import local_server, send

MANY = 240
STEP_TIMEOUT_S = 180.0


@pytest.fixture
def commands(studio: StudioServer, tmp_path: Path) -> Iterator[BulkCommands]:
    env = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY_TOKEN}
    started = BulkCommands(tmp_path, env)
    yield started
    started.close()


def stored(api: LabelStudio, project: Project) -> int:
    """Predictions of the project, of any version."""
    found = api.call("GET", f"/api/projects/{project.id}/model-versions/")
    return sum(int(number) for number in found.values())


def wait_until(reached: Callable[[], bool], process: QueueProcess) -> None:
    ends_at_s = time.monotonic() + STEP_TIMEOUT_S
    while not reached():
        assert process.process.poll() is None, process.talk
        assert time.monotonic() < ends_at_s, process.talk
        time.sleep(0.05)


def finished(process: QueueProcess, code: int = 0) -> Any:
    """The summary of a run that is waited for."""
    assert process.ended() == code, process.talk
    assert "Traceback" not in process.talk
    return process.answer


def test_killed_and_interrupted_the_third_run_completes_it(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    fill(api, project, MANY)
    first = commands.prelabel("first", project.id)
    wait_until(lambda: stored(api, project) > 0, first)
    first.kill()
    after_kill = stored(api, project)
    assert 0 < after_kill < MANY

    second = commands.prelabel("second", project.id)
    wait_until(lambda: stored(api, project) > after_kill, second)
    second.process.send_signal(signal.SIGINT)
    assert second.ended() == 130 and "interrupted" in second.talk
    summary = second.answer
    assert 0 < summary["done"] < MANY - after_kill
    after_stop = stored(api, project)
    assert after_stop >= after_kill + summary["done"]

    # Someone else, or a repeated write, has left two.
    done = next(task for task in api.tasks(project) if task["total_predictions"])
    (double,) = api.predictions(done["id"])
    fields = {name: double[name] for name in ("task", "model_version", "score", "result")}
    api.call("POST", "/api/predictions/", json=fields)
    third = finished(commands.prelabel("third", project.id))
    assert third["done"] == MANY - after_stop
    assert prediction_counts(api, project) == {1: MANY}
    shown = api.call("GET", f"/api/projects/{project.id}/")
    assert shown["model_version"] == third["model_version"]
    assert shown["show_collab_predictions"] is True
    following = api.call("GET", f"/api/projects/{project.id}/next/")
    assert [p["model_version"] for p in following["predictions"]] == [third["model_version"]]

    # And once more is nothing.
    assert finished(commands.prelabel("fourth", project.id))["done"] == 0
    assert prediction_counts(api, project) == {1: MANY}


def test_label_studio_restarts_in_the_middle(
    api: LabelStudio, studio: StudioServer, commands: BulkCommands, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    fill(api, project, MANY)
    running = commands.prelabel("running", project.id)
    wait_until(lambda: stored(api, project) > 0, running)
    studio.stop()
    studio.start_again()
    summary = finished(running)
    assert prediction_counts(api, project) == {1: MANY}
    assert summary["done"] + summary["skipped"] == MANY and summary["failed"] == []
    assert "Asked again in" in running.talk


def annotate(api: LabelStudio, task_id: int, result: list[dict[str, Any]]) -> None:
    api.call("POST", f"/api/tasks/{task_id}/annotations/", json={"result": result})


def test_the_filters(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(CONFIG)
    tasks = fill(api, project, 24)
    plan = finished(commands.prelabel("plan", project.id, "--dry-run", "--leave-blank", "50%"))
    assert plan["would_predict"] + plan["would_leave_blank"] == 24
    assert stored(api, project) == 0

    column = {"filter": "filter:tasks:id", "type": "Number"}
    view = {
        "project": project.id,
        "data": {
            "title": "some",
            "ordering": ["-tasks:id"],
            "filters": {
                "conjunction": "and",
                "items": [{**column, "operator": "less", "value": tasks[8]}],
            },
        },
    }
    made = api.call("POST", "/api/dm/views/", json=view)
    annotate(api, tasks[0], [])
    arguments = ("--view", str(made["id"]), "--only-unlabelled", "--limit", "5")
    assert finished(commands.prelabel("view", project.id, *arguments))["done"] == 5
    with_one = [t["id"] for t in api.tasks(project) if t["total_predictions"]]
    assert with_one == tasks[3:8]

    blank = finished(commands.prelabel("blank", project.id, "--leave-blank", "50%", "--seed", "3"))
    assert blank["left_blank"] > 0 and blank["left_blank"] + blank["done"] == 19
    versions = api.call("GET", f"/api/projects/{project.id}/model-versions/")
    assert versions == {blank["model_version"]: 24 - blank["left_blank"],
                        BLANK_VERSION: blank["left_blank"]}  # fmt: skip
    fill_blank = finished(commands.prelabel("fill", project.id, "--fill-blank"))
    assert fill_blank["done"] == blank["left_blank"]

    before = {p["id"] for task in tasks for p in api.predictions(task)}
    again = finished(commands.prelabel("replace", project.id, "--replace", "--sample", "6"))
    assert again["done"] == 6
    after = {p["id"] for task in tasks for p in api.predictions(task)}
    assert len(after - before) == len(before - after) == 6


def test_what_failed_can_be_tried_again(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(CONFIG)
    tasks = fill(api, project, 6)
    good = api.tasks(project)[0]["data"]
    api.call("PATCH", f"/api/tasks/{tasks[5]}/", json={"data": {"image": "s3://none/x.jpg"}})
    failed = tmp_path / "failed.json"
    first = finished(commands.prelabel("first", project.id, "--failed", str(failed)), code=1)
    assert first["done"] == 5 and [f["task"] for f in first["failed"]] == [tasks[5]]
    assert [f["task"] for f in json.loads(failed.read_text())["failed"]] == [tasks[5]]
    api.call("PATCH", f"/api/tasks/{tasks[5]}/", json={"data": good})
    both = ("--retry", str(failed), "--failed", str(failed))
    assert finished(commands.prelabel("second", project.id, *both))["done"] == 1
    assert json.loads(failed.read_text())["failed"] == []
    assert prediction_counts(api, project) == {1: 6}


def test_what_is_annotated_is_left_out(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    tasks = fill(api, project, 4)
    everything = finished(commands.prelabel("all", project.id))
    result = {task: api.predictions(task)[0]["result"] for task in tasks}
    covered = next(task for task in tasks if result[task])
    annotate(api, covered, result[covered])
    missing = ("--only-missing", "--replace", "--covered-share", "90%")
    some = finished(commands.prelabel("missing", project.id, *missing))
    assert sum(everything["labels"].values()) - sum(some["labels"].values()) == len(result[covered])
    assert api.predictions(covered)[0]["result"] == []


def test_watching_takes_tasks_that_arrive(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    fill(api, project, 3)
    watching = commands.prelabel("watching", project.id, "--watch")
    wait_until(lambda: stored(api, project) == 3, watching)
    api.import_tasks(project, [api.tasks(project)[0]["data"]] * 2)
    wait_until(lambda: stored(api, project) == 5, watching)
    watching.process.send_signal(signal.SIGINT)
    assert watching.ended() == 0 and watching.answer["done"] == 5
    assert prediction_counts(api, project) == {1: 5}


def test_label_studio_does_not_ask_its_backend_meanwhile(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    fill(api, project, 5)
    with local_server() as other:
        json_answer = {"status": "UP", "model_class": "x", "model_version": "other"}
        other.otherwise = send(200, json.dumps(json_answer).encode(), "application/json")
        api.connect_backend(project, other.url)
        changes = {"evaluate_predictions_automatically": True}
        api.call("PATCH", f"/api/projects/{project.id}/", json=changes)
        api.tasks(project)
        assert [target for target in other.targets if "predict" in target] != []
        other.seen.clear()
        assert finished(commands.prelabel("run", project.id))["done"] == 5
        assert [target for target in other.targets if "predict" in target] == []


def test_another_threshold_costs_no_inference(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject, tmp_path: Path
) -> None:
    redis = RedisServer(tmp_path)
    try:
        project = make_project(CONFIG)
        fill(api, project, 12)
        commands._env["LABELVINO_REDIS_URL"] = redis.url
        low = finished(commands.prelabel("low", project.id, "--score-threshold", "0.2"))
        model = ("--model", str(Path("backend/demo/model.xml").resolve()), "--json")
        of = ("--project", str(project.id), *model, "--score-threshold", "0.99")
        high = finished(commands.run("high", "rethreshold", *of))
        assert (high["done"], high["images_from_cache"]) == (12, 12)
        assert sum(high["labels"].values()) < sum(low["labels"].values())
        versions = api.call("GET", f"/api/projects/{project.id}/model-versions/")
        assert versions == {high["model_version"]: 12} and versions != {low["model_version"]: 12}
        assert finished(commands.run("again", "rethreshold", *of))["done"] == 0
    finally:
        redis.kill()


def test_an_export_gets_predictions_and_is_imported(
    api: LabelStudio, commands: BulkCommands, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(CONFIG)
    tasks = fill(api, project, 5)
    online = finished(commands.prelabel("online", project.id))
    expected = {task: api.predictions(task)[0]["result"] for task in tasks}
    annotate(api, tasks[1], expected[tasks[1]])
    query = {"exportType": "JSON", "download_all_tasks": "true"}
    exported = api.call("GET", f"/api/projects/{project.id}/export", params=query)
    (tmp_path / "export.json").write_text(json.dumps(exported))
    (tmp_path / "config.xml").write_text(CONFIG)
    model = str(Path("backend/demo/model.xml").resolve())
    files = ("--tasks", str(tmp_path / "export.json"), "--out", str(tmp_path / "out.json"))
    files += ("--label-config", str(tmp_path / "config.xml"), "--model", model, "--json")
    assert finished(commands.run("offline", "prelabel", *files))["done"] == 5

    other = api.create_project("imported", CONFIG)
    with (tmp_path / "out.json").open("rb") as file:
        upload = {"file": ("out.json", file.read(), "application/json")}
    api.call("POST", f"/api/projects/{other.id}/import", files=upload)
    made = [task["id"] for task in api.tasks(other)]
    found = [api.predictions(task) for task in made]
    assert [[p["model_version"] for p in each] for each in found] == [[online["model_version"]]] * 5
    assert [each[0]["result"] for each in found] == [expected[task] for task in tasks]
    assert [len(api.annotations(task)) for task in made] == [0, 1, 0, 0, 0]
