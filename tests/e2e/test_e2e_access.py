"""Who may talk to whom: both kinds of token, basic auth, webhooks with a secret."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from backend_server import BackendServer
from conftest import MakeBackend, MakeProject
from studio_api import LabelStudio, LabelStudioError, Project
from studio_server import LEGACY_TOKEN

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="elephant"/></PolygonLabels></View>"""
PHOTO = "000000519208.jpg"
USER, PASSWORD, SECRET = "labeller", "opensesame", "a-webhook-secret"
WEBHOOK_TIMEOUT_S = 10.0


def count_predictions(api: LabelStudio, project: Project, task: int) -> int:
    api.retrieve_predictions(project, [task])
    return len(api.predictions(task))


@pytest.mark.parametrize("kind", ["legacy token", "personal access token"])
def test_both_kinds_of_token_open_an_uploaded_photo(
    kind: str,
    request: pytest.FixtureRequest,
    api: LabelStudio,
    start_backend: MakeBackend,
    make_project: MakeProject,
    photos_dir: Path,
) -> None:
    token = LEGACY_TOKEN
    if kind == "personal access token":
        token = request.getfixturevalue("personal_access_token")
    backend = start_backend(token=token)
    project = make_project(CONFIG)
    (task,) = api.upload(project, [(PHOTO, (photos_dir / PHOTO).read_bytes())])
    api.connect_backend(project, backend.url)
    assert count_predictions(api, project, task) == 1
    assert token not in backend.log_text()


@pytest.fixture(scope="module")
def guarded(start_backend: MakeBackend) -> BackendServer:
    """A backend that asks for user and password."""
    return start_backend(
        BASIC_AUTH_USER=USER, BASIC_AUTH_PASS=PASSWORD, LABELVINO_WEBHOOK_SECRET=SECRET
    )


@pytest.mark.parametrize("way", ["in the address", "in the fields"])
def test_basic_auth_lets_label_studio_in(
    way: str,
    api: LabelStudio,
    guarded: BackendServer,
    make_project: MakeProject,
    photos_dir: Path,
) -> None:
    project = make_project(CONFIG)
    (task,) = api.upload(project, [(PHOTO, (photos_dir / PHOTO).read_bytes())])
    if way == "in the address":
        api.connect_backend(project, f"http://{USER}:{PASSWORD}@{guarded.host_port}")
    else:
        api.connect_backend(project, guarded.url, basic_auth=(USER, PASSWORD))
    assert count_predictions(api, project, task) == 1
    assert PASSWORD not in guarded.log_text()


def test_a_wrong_password_is_refused(
    api: LabelStudio, guarded: BackendServer, make_project: MakeProject, photos_dir: Path
) -> None:
    project = make_project(CONFIG)
    (task,) = api.upload(project, [(PHOTO, (photos_dir / PHOTO).read_bytes())])
    before = guarded.answered("/setup", 401, (USER, PASSWORD))
    with pytest.raises(LabelStudioError, match="400"):
        api.connect_backend(project, f"http://{USER}:wrong@{guarded.host_port}")
    assert guarded.answered("/setup", 401, (USER, PASSWORD)) > before
    assert api.predictions(task) == []


def wait_for_webhooks(backend: BackendServer, status: int, count: int) -> int:
    deadline = time.monotonic() + WEBHOOK_TIMEOUT_S
    while True:
        seen = backend.answered("/webhook", status, (USER, PASSWORD))
        if seen >= count or time.monotonic() > deadline:
            return seen
        time.sleep(0.1)


@pytest.mark.parametrize("way", ["in a header", "in the address"])
def test_webhooks_pass_with_the_secret(
    way: str, api: LabelStudio, guarded: BackendServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    api.connect_backend(project, guarded.url, basic_auth=(USER, PASSWORD))
    (webhook,) = api.webhooks(project)  # Label Studio has made it, without user and password
    refused = guarded.answered("/webhook", 401, (USER, PASSWORD))
    api.import_tasks(project, [{"image": "http://127.0.0.1:9/a.jpg"}])
    assert wait_for_webhooks(guarded, 401, refused + 1) > refused

    if way == "in a header":
        api.change_webhook(webhook["id"], headers={"X-Labelvino-Secret": SECRET})
    else:
        api.change_webhook(webhook["id"], url=f"{guarded.url}/webhook?secret={SECRET}")
    passed = guarded.answered("/webhook", 201, (USER, PASSWORD))
    api.import_tasks(project, [{"image": "http://127.0.0.1:9/b.jpg"}])
    assert wait_for_webhooks(guarded, 201, passed + 1) > passed
    assert SECRET not in guarded.log_text()
