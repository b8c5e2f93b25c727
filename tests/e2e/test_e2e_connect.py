"""`labelvino connect` with the real Label Studio."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from backend_server import BackendServer, command_path
from child_process import ServerProcess, free_port
from conftest import MakeBackend, MakeProject
from studio_api import LabelStudio, Project
from studio_server import (
    LEGACY_TOKEN,
    START_TIMEOUT_S,
    StudioServer,
    label_studio_command,
    migrated_template,
)
from studio_server import _environment as studio_environment

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="elephant"/></PolygonLabels></View>"""
PHOTO = "000000519208.jpg"
USER, PASSWORD, SECRET = "labeller", "opensesame", "a-webhook-secret"
WEBHOOK_TIMEOUT_S = 10.0


def labelvino(
    studio_url: str, *arguments: object, token: str = LEGACY_TOKEN, **environment: str
) -> subprocess.CompletedProcess[str]:
    settings = {"LABEL_STUDIO_URL": studio_url, "LABEL_STUDIO_API_KEY": token, "PATH": "/usr/bin"}
    done = subprocess.run(
        [str(command_path("labelvino")), *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=settings | environment,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert token not in done.stdout + done.stderr
    return done


def connect(
    studio: StudioServer, project: Project | str, url: str, *arguments: str, **environment: str
) -> dict[str, Any]:
    """The summary of a `connect` that succeeds."""
    wanted = project.id if isinstance(project, Project) else project
    done = labelvino(
        studio.url, "connect", "--url", url, "--project", wanted, "--json", *arguments,
        **environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def backends(api: LabelStudio, project: Project) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", "/api/ml/", params={"project": project.id})
    return found


def project_fields(api: LabelStudio, project: Project) -> dict[str, Any]:
    fields: dict[str, Any] = api.call("GET", f"/api/projects/{project.id}/")
    return fields


def test_a_new_project_gets_predictions_and_twice_changes_nothing(
    studio: StudioServer,
    api: LabelStudio,
    backend: BackendServer,
    make_project: MakeProject,
    photos_dir: Path,
) -> None:
    project = make_project(CONFIG)
    (task,) = api.upload(project, [(PHOTO, (photos_dir / PHOTO).read_bytes())])
    first = connect(studio, project.title, backend.url)
    assert first["changes"][0] == f"connected the backend {backend.url} as 'labelvino'"
    assert first["annotators_see"] == "labelvino"
    assert first["notes"] == []

    before = project_fields(api, project), backends(api, project), api.webhooks(project)
    again = labelvino(studio.url, "connect", "--url", f"{backend.url}/", "--project", project.id)
    assert again.returncode == 0
    assert "nothing to change" in again.stderr
    after = project_fields(api, project), backends(api, project), api.webhooks(project)
    assert [row["id"] for row in after[1]] == [row["id"] for row in before[1]]
    assert after[0] == before[0] and after[2] == before[2]
    assert len(after[1]) == len(after[2]) == 1
    assert not after[0]["evaluate_predictions_automatically"]  # nobody asked for it

    # What an annotator is given next.
    given = api.call("GET", f"/api/projects/{project.id}/next")
    assert given["id"] == task
    (prediction,) = given["predictions"]
    assert prediction["model_version"] == after[1][0]["model_version"]
    assert prediction["result"]


def test_the_personal_access_token(
    studio: StudioServer,
    backend: BackendServer,
    make_project: MakeProject,
    personal_access_token: str,
) -> None:
    project = make_project(CONFIG)
    done = connect(studio, project, backend.url, LABEL_STUDIO_API_KEY=personal_access_token)
    assert done["backend"]["url"] == backend.url


def test_a_backend_that_the_settings_page_connected_is_left_as_it_is(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    api.connect_backend(project, backend.url)
    assert connect(studio, project, backend.url)["changes"] == []


def test_one_webhook_stays_of_many(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    connect(studio, project, backend.url)
    (made,) = api.webhooks(project)
    ours = {"project": project.id, "url": f"{backend.url}/webhook"}
    stranger = {"project": project.id, "url": "http://127.0.0.1:9/hook"}
    leftover = {
        "project": project.id, "url": "http://127.0.0.1:9/webhook",
        "headers": {"X-Labelvino-Secret": "old"},
    }  # fmt: skip
    for fields in (ours, stranger, leftover):
        api.call("POST", "/api/webhooks/", json=fields)
    api.change_webhook(made["id"], is_active=False, headers={"X-Other": "1"})

    done = connect(studio, project, backend.url, LABELVINO_WEBHOOK_SECRET=SECRET)
    hooks = sorted(api.webhooks(project), key=lambda hook: hook["url"])
    assert [hook["url"] for hook in hooks] == sorted([ours["url"], stranger["url"]])
    kept = next(hook for hook in hooks if hook["url"] == ours["url"])
    assert kept["is_active"]
    assert kept["headers"] == {"X-Labelvino-Secret": SECRET}
    assert len(done["changes"]) == 3
    again = connect(studio, project, backend.url, LABELVINO_WEBHOOK_SECRET=SECRET)
    assert again["changes"] == []


def test_a_switched_off_webhook_keeps_what_it_has(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    connect(studio, project, backend.url)
    (made,) = api.webhooks(project)
    api.change_webhook(
        made["id"], is_active=False, headers={"X-Other": "1"}, send_for_all_actions=False,
        actions=["TASKS_CREATED"],
    )  # fmt: skip
    connect(studio, project, backend.url, LABELVINO_WEBHOOK_SECRET=SECRET)
    (kept,) = api.webhooks(project)
    assert kept["is_active"]
    assert kept["headers"] == {"X-Other": "1", "X-Labelvino-Secret": SECRET}
    assert kept["actions"] == ["TASKS_CREATED"]


def test_a_deleted_backend_comes_back_to_its_webhook(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    first = connect(studio, project, backend.url)
    api.call("DELETE", f"/api/ml/{first['backend']['id']}")
    connect(studio, project, backend.url)
    (webhook,) = api.webhooks(project)
    assert webhook["id"] == first["webhook"]["id"]


def test_a_backend_that_moved_takes_its_webhook_along(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    connect(studio, project, backend.url)
    new_url = backend.url.replace("127.0.0.1", "localhost")
    done = connect(studio, project, new_url)
    assert done["changes"][0] == f"moved the backend from {backend.url} to {new_url}"
    (row,) = backends(api, project)
    (webhook,) = api.webhooks(project)
    assert (row["url"], webhook["url"]) == (new_url, f"{new_url}/webhook")


def test_predictions_are_shown_again(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    api.call("PATCH", f"/api/projects/{project.id}/", json={"show_collab_predictions": False})
    done = connect(studio, project, backend.url)
    assert "let annotators see predictions" in done["changes"]
    fields = project_fields(api, project)
    assert fields["show_collab_predictions"] and fields["model_version"] == "labelvino"


def choose_imported_predictions(api: LabelStudio, project: Project, version: str) -> None:
    (task,) = api.import_tasks(project, [{"image": "http://127.0.0.1:9/a.jpg"}])
    prediction = {"task": task, "model_version": version, "result": []}
    api.call("POST", "/api/predictions/", json=prediction)
    api.call("PATCH", f"/api/projects/{project.id}/", json={"model_version": version})


def test_predictions_that_someone_chose_stay_chosen_until_asked(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    choose_imported_predictions(api, project, "imported-1")
    done = connect(studio, project, backend.url)
    assert done["annotators_see"] == "imported-1"
    assert "--make-current" in done["notes"][0]
    assert connect(studio, project, backend.url, "--make-current")["annotators_see"] == "labelvino"


def test_a_chosen_version_that_is_gone_is_replaced(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    choose_imported_predictions(api, project, "gone-1")
    query = {"id": "delete_tasks_predictions", "project": project.id}
    everything = {"selectedItems": {"all": True, "excluded": []}}
    api.call("POST", "/api/dm/actions/", params=query, json=everything)
    assert project_fields(api, project)["model_version"] == "gone-1"
    assert connect(studio, project, backend.url)["annotators_see"] == "labelvino"


def test_behind_another_backend_it_says_so(
    studio: StudioServer, api: LabelStudio, backend: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    other = backend.url.replace("127.0.0.1", "localhost")
    connect(studio, project, other, "--title", "other")
    done = connect(studio, project, backend.url)
    assert "only a project's first backend" in done["notes"][0] and "'other'" in done["notes"][0]
    assert len(api.webhooks(project)) == 2  # the other's webhook is its own


@pytest.fixture(scope="module")
def guarded(start_backend: MakeBackend) -> BackendServer:
    """A backend that asks for user and password."""
    return start_backend(
        BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=PASSWORD, LABELVINO_WEBHOOK_SECRET=SECRET
    )


def test_user_password_and_secret_get_through(
    studio: StudioServer, api: LabelStudio, guarded: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    auth = {"BASIC_AUTH_USER": USER, "BASIC_AUTH_PASS": PASSWORD}
    without_secret = connect(studio, project, guarded.url, **auth)
    assert "LABELVINO_WEBHOOK_SECRET" in without_secret["notes"][0]
    done = connect(studio, project, guarded.url, **auth, LABELVINO_WEBHOOK_SECRET=SECRET)
    assert done["changes"] == ["set the secret of its webhook"]
    again = connect(studio, project, guarded.url, **auth, LABELVINO_WEBHOOK_SECRET=SECRET)
    assert again["changes"] == again["notes"] == []

    passed = guarded.answered("/webhook", 201, (USER, PASSWORD))
    api.import_tasks(project, [{"image": "http://127.0.0.1:9/a.jpg"}])
    ends_at_s = time.monotonic() + WEBHOOK_TIMEOUT_S
    while guarded.answered("/webhook", 201, (USER, PASSWORD)) == passed:
        assert time.monotonic() < ends_at_s
        time.sleep(0.1)


def refused(studio_url: str, url: str, project: object, **environment: str) -> str:
    done = labelvino(studio_url, "connect", "--url", url, "--project", project, **environment)
    assert done.returncode == 1
    (line,) = done.stderr.strip().splitlines()
    return line


def test_refusals_are_one_clear_line(
    studio: StudioServer, api: LabelStudio, guarded: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    nobody = f"http://127.0.0.1:{free_port()}"
    assert "cannot reach the backend" in refused(studio.url, nobody, project.id)
    assert "BASIC_AUTH_PASS" in refused(studio.url, guarded.url, project.id)
    wrong = {"BASIC_AUTH_USER": USER, "BASIC_AUTH_PASS": "wrong"}
    assert "BASIC_AUTH_PASS" in refused(studio.url, guarded.url, project.id, **wrong)
    assert "no ML backend" in refused(studio.url, studio.url, project.id)
    assert "does not know the host" in refused(studio.url, "http://nohost.invalid", project.id)
    assert f"'{project.title}'" in refused(studio.url, guarded.url, project.title[:-1])
    assert "does not accept the legacy token" in refused(
        studio.url, guarded.url, project.id, LABEL_STUDIO_API_KEY="0" * 40
    )
    assert "LABEL_STUDIO_URL" in refused(guarded.url, guarded.url, project.id)
    assert backends(api, project) == []


@contextmanager
def studio_with(folder: Path, logs: Path, name: str, **environment: str) -> Iterator[str]:
    """Another Label Studio, with SSRF settings of its own; gives its address."""
    data, port = folder / "data", free_port()
    shutil.copytree(migrated_template(logs), data)
    settings = studio_environment(data, data)
    del settings["USE_DEFAULT_BANNED_SUBNETS"]
    process = ServerProcess(
        [label_studio_command(), "start", "--no-browser", "--data-dir", data,
         "--internal-host", "127.0.0.1", "--port", str(port)],
        settings | environment, logs / f"label-studio-{name}.log", data,
    )  # fmt: skip
    try:
        process.wait_until_healthy(f"http://127.0.0.1:{port}/health", START_TIMEOUT_S)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.stop()


@pytest.mark.parametrize(
    ("environment", "rows"),
    # With ML_BLOCK_LOCAL_IP=false alone Label Studio saves the backend, but makes no webhook.
    [({}, 0), ({"ML_BLOCK_LOCAL_IP": "false"}, 1)],
)
def test_the_ssrf_setting_is_named(
    environment: dict[str, str], rows: int, backend: BackendServer, artifacts: Path, tmp_path: Path
) -> None:
    with studio_with(tmp_path, artifacts, f"ssrf-{rows}", **environment) as url:
        strict = LabelStudio(url, f"Token {LEGACY_TOKEN}")
        project = strict.create_project("Strict", CONFIG)
        for attempt in range(2):
            line = refused(url, backend.url, project.id)
            assert "USE_DEFAULT_BANNED_SUBNETS=false" in line
            saved = rows == 1 and attempt == 1
            assert ("refuses its webhook" if saved else "refuses the private address") in line
        assert len(backends(strict, project)) == rows
        assert strict.webhooks(project) == []
        strict.close()
