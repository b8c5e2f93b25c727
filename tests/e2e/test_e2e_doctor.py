"""`labelvino doctor` looks at the real Label Studio: each line is ok, or says what to do."""

from __future__ import annotations

import base64
import hmac
import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from backend_server import BackendServer, command_path
from child_process import free_port
from conftest import MakeBackend, MakeProject
from studio_api import LabelStudio, Project
from studio_server import LEGACY_TOKEN, PASSWORD, USER, StudioServer

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="elephant"/></PolygonLabels></View>"""
PHOTO = "000000519208.jpg"
FORGED = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl"  # a JWT that nobody signed
OF_LABEL_STUDIO = ("label studio", "clock", "token", "project", "image", "backend")

Lines = dict[str, tuple[str, str]]
"""Status and text, by what was checked."""


def doctor(
    studio_url: str, *arguments: object, token: str | None = LEGACY_TOKEN, **environment: str
) -> tuple[int, Lines]:
    """Exit code and findings of the real command."""
    env = {"LABEL_STUDIO_URL": studio_url, "PATH": "/usr/bin"} | environment
    if token is not None:
        env["LABEL_STUDIO_API_KEY"] = token
    done = subprocess.run(
        [str(command_path("labelvino")), "doctor", "--device", "CPU", "--json",
         *map(str, arguments)],
        capture_output=True, text=True, timeout=120, check=False, env=env,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    if token:
        assert token not in done.stdout + done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    lines = {line["check"]: (line["status"], line["text"]) for line in found}
    assert set(OF_LABEL_STUDIO) <= set(lines)
    problems = [line for line in found if line["status"] == "problem"]
    assert done.returncode == (1 if problems else 0)
    return done.returncode, lines


def of_project(studio: StudioServer, project: Project, **environment: str) -> Lines:
    return doctor(studio.url, "--project", project.id, **environment)[1]


def test_all_is_well(
    studio: StudioServer,
    api: LabelStudio,
    backend: BackendServer,
    make_project: MakeProject,
    photos_dir: Path,
) -> None:
    project = make_project(CONFIG)
    data = (photos_dir / PHOTO).read_bytes()
    (task,) = api.upload(project, [(PHOTO, data)])
    api.connect_backend(project, backend.url)
    code, lines = doctor(studio.url, "--project", project.title)
    assert code == 0
    assert {lines[check][0] for check in OF_LABEL_STUDIO} == {"ok"}
    assert lines["label studio"][1] == f"{studio.url}, version 1.23.2"
    assert lines["token"][1] == f"legacy token of {USER}, may serve and connect"
    assert lines["project"][1] == f"{project.id} '{project.title}'"
    assert f"task {task}: 640x" in lines["image"][1]
    assert f"{len(data) / 1000:.0f} kB" in lines["image"][1]
    assert re.match(rf"'labelvino' at {backend.url} is connected, version \S+-\S+$",
                    lines["backend"][1])  # fmt: skip


def test_a_personal_access_token_and_no_project(
    studio: StudioServer, personal_access_token: str
) -> None:
    code, lines = doctor(studio.url, token=personal_access_token)
    assert code == 0
    assert lines["token"][0] == "ok"
    assert lines["token"][1].startswith(f"Personal Access Token of {USER}")
    for check in ("project", "image", "backend"):
        assert lines[check] == ("unchecked", "no project is given: use --project ID|TITLE.")


@pytest.mark.parametrize("token", [None, "0" * 40, "two words", FORGED, FORGED.rpartition(".")[0]])
def test_tokens_that_do_not_work(studio: StudioServer, token: str | None) -> None:
    code, lines = doctor(studio.url, "--project", 1, token=token)
    assert code == 1
    assert lines["label studio"][0] == lines["clock"][0] == "ok"
    status, text = lines["token"]
    assert status == "problem"
    assert "LABEL_STUDIO_API_KEY" in text
    assert lines["image"][0] == lines["backend"][0] == "unchecked"


@pytest.fixture(scope="module")
def own_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("label-studio")


@pytest.fixture(scope="module")
def own(artifacts: Path, own_folder: Path) -> Iterator[StudioServer]:
    """A Label Studio whose tokens and members these tests take away."""
    logs = artifacts / "doctor"
    logs.mkdir(exist_ok=True)
    server = StudioServer(own_folder, logs)
    yield server
    server.stop()


def sign_up(studio: StudioServer, email: str) -> tuple[int, str]:
    """Id and legacy token of a new user; Label Studio makes every user a member."""
    with httpx2.Client(base_url=studio.url, follow_redirects=True, trust_env=False) as http:
        page = http.get("/user/signup").text
        found = re.search(r'csrfmiddlewaretoken" value="([^"]+)"', page)
        assert found
        form = {"email": email, "password": PASSWORD, "csrfmiddlewaretoken": found[1]}
        http.post("/user/signup", data=form, headers={"Referer": studio.url}).raise_for_status()
        user = http.get("/api/current-user/whoami").json()["id"]
        return int(user), str(http.get("/api/current-user/token").json()["token"])


def test_a_user_who_may_not_see_the_project(own: StudioServer) -> None:
    admin = LabelStudio(own.url, f"Token {LEGACY_TOKEN}")
    project = admin.create_project("Street scenes", CONFIG)
    user, token = sign_up(own, "guest@example.com")
    assert doctor(own.url, "--project", project.id, token=token)[1]["project"][0] == "ok"
    admin.call("DELETE", f"/api/organizations/1/memberships/{user}/")
    admin.close()
    code, lines = doctor(own.url, "--project", project.id, token=token)
    assert code == 1
    assert lines["project"][0] == "problem"
    assert "no project that this token may see" in lines["project"][1]
    assert lines["image"][0] == lines["backend"][0] == "unchecked"


def expiring(token: str, folder: Path, in_s: int) -> str:
    """A Personal Access Token with another end, signed as its Label Studio signs."""
    key = (folder / "data" / ".env").read_text().partition("SECRET_KEY=")[2].strip()
    head, claims, _ = token.split(".")
    facts = json.loads(base64.urlsafe_b64decode(claims + "=="))
    signed = f"{head}.{_base64(json.dumps(facts | {'exp': int(time.time()) + in_s}).encode())}"
    signature = hmac.digest(key.encode(), signed.encode(), "sha256")
    return f"{signed}.{_base64(signature)}"


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def test_tokens_that_were_taken_away(own: StudioServer, own_folder: Path) -> None:
    admin = LabelStudio(own.url, f"Token {LEGACY_TOKEN}")
    revoked = admin.create_personal_access_token()
    assert doctor(own.url, token=revoked)[1]["token"][0] == "ok"
    assert doctor(own.url, token=expiring(revoked, own_folder, 600))[1]["token"][0] == "ok"
    _, lines = doctor(own.url, token=expiring(revoked, own_folder, -60))
    assert lines["token"][0] == "problem" and "expired" in lines["token"][1]
    assert lines["label studio"][0] == "ok"
    admin.call("POST", "/api/token/blacklist/", json={"refresh": revoked})
    _, lines = doctor(own.url, token=revoked)
    assert lines["token"][0] == "problem" and "revoked" in lines["token"][1]

    admin.call("POST", "/api/jwt/settings", json={"legacy_api_tokens_enabled": False})
    admin.close()
    _, lines = doctor(own.url)
    assert lines["token"][0] == "problem"
    assert "legacy tokens must be allowed" in lines["token"][1]


@pytest.mark.parametrize(
    ("address", "remedy"),
    [
        ("/data/upload/1/nothing.jpg", "upload that is no longer there"),
        ("http://127.0.0.1:9/a.jpg", "LABELVINO_ALLOWED_HOSTS"),
        ("http://label-studio.invalid:8080/data/a.jpg", "LABELVINO_LABEL_STUDIO_ALIASES"),
        ("s3://bucket/a.jpg", "storage"),
    ],
)
def test_an_image_that_cannot_be_had(
    address: str,
    remedy: str,
    studio: StudioServer,
    api: LabelStudio,
    make_project: MakeProject,
) -> None:
    project = make_project(CONFIG)
    api.import_tasks(project, [{"image": address}])
    status, text = of_project(studio, project)["image"]
    assert status == "problem"
    assert address in text and remedy in text


def test_a_project_without_tasks_and_backend(
    studio: StudioServer, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    lines = of_project(studio, project)
    assert lines["image"] == ("unchecked", "the project has no task yet.")
    status, text = lines["backend"]
    assert status == "problem"
    assert f"labelvino connect --url http://HOST:9090 --project {project.id}" in text


def test_a_backend_that_was_stopped_or_stands_second(
    studio: StudioServer, api: LabelStudio, start_backend: MakeBackend, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    backend = start_backend()
    api.connect_backend(project, backend.url)
    second = backend.url.replace("127.0.0.1", "localhost")
    api.connect_backend(project, second)
    status, text = of_project(studio, project)["backend"]
    assert status == "hint" and "only this first one" in text
    backend.stop()
    status, text = of_project(studio, project)["backend"]
    assert status == "problem"
    assert backend.url in text and "labelvino serve" in text


def test_what_is_no_label_studio(studio: StudioServer, backend: BackendServer) -> None:
    for url in (backend.url, f"http://127.0.0.1:{free_port()}"):
        code, lines = doctor(url)
        assert code == 1
        assert lines["label studio"][0] == "problem"
        assert lines["token"] == ("unchecked", "Label Studio is not there.")
