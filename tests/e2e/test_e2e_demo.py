"""`labelvino demo`, with its own Label Studio; the tests go from the first demo to later ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx2
import pytest
from demo_process import DemoProcess, run_demo
from PIL import Image
from playwright.sync_api import Playwright
from studio_api import LabelStudio, Project
from studio_browser import StudioBrowser
from studio_server import label_studio_command

from backend.demo import MODEL_PATH
from backend.demo.images import SCENES
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import draw_scene

GONE_TIMEOUT_S = 20.0


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a demo that has been set up once, by `--check`."""
    label_studio_command()  # skips where it is not installed
    folder = tmp_path_factory.mktemp("demo") / "data"
    checked = run_demo(folder, "--check")
    assert checked.returncode == 0, checked.stderr
    (line,) = checked.stdout.splitlines()
    assert line.startswith(f"demo ok: {SCENES} tasks, {SCENES} with a prediction, ")
    return folder


@pytest.fixture
def demo(data: Path, tmp_path: Path) -> Iterator[DemoProcess]:
    """A second demo over the first."""
    running = DemoProcess(data, tmp_path)
    yield running
    running.kill()
    assert _is_down(running.url)
    assert _is_down(running.backend_url)


def _api(data: Path, url: str) -> LabelStudio:
    token = json.loads((data / "demo.json").read_text())["token"]
    return LabelStudio(url, f"Token {token}")


def _is_down(url: str) -> bool:
    end_s = time.monotonic() + GONE_TIMEOUT_S
    while time.monotonic() < end_s:
        try:
            httpx2.get(f"{url}/health", timeout=5.0, trust_env=False)
        except httpx2.ConnectError:
            return True
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    return False


def test_a_second_demo_goes_on_with_the_first(
    data: Path, demo: DemoProcess, driver: Playwright, artifacts: Path, tmp_path: Path
) -> None:
    api = _api(data, demo.url)
    (project,) = (Project(row["id"], row["title"]) for row in _projects(api))
    assert demo.project_url == f"{demo.url}/projects/{project.id}/data"
    tasks = api.tasks(project)
    assert len(tasks) == SCENES
    assert [len(api.predictions(task["id"])) for task in tasks] == [1] * SCENES
    assert len(api.webhooks(project)) == 1
    # A person signs in with what is printed, sees outlines, and submits.
    account = (demo.user, demo.password)
    shown = StudioBrowser(driver, demo.url, tmp_path / "profile", artifacts, account)
    regions = shown.open_task(project, tasks[0]["id"])
    assert regions
    shown.submit()
    shown.close()
    (annotation,) = api.annotations(tasks[0]["id"])
    assert annotation["parent_prediction"] == api.predictions(tasks[0]["id"])[0]["id"]
    api.close()
    assert demo.end() == 0


def _projects(api: LabelStudio) -> list[dict[str, object]]:
    found: list[dict[str, object]] = api.call("GET", "/api/projects/")["results"]
    return found


def test_a_demo_beside_a_running_one(data: Path, demo: DemoProcess) -> None:
    refused = run_demo(data)
    assert refused.returncode == 1
    assert refused.stderr == (
        f"labelvino: the demo is running already, at {demo.url}: end it there with Ctrl-C first.\n"
    )
    assert demo.end(signal.SIGTERM) == 0


def test_a_killed_demo_leaves_nothing_running(data: Path, demo: DemoProcess) -> None:
    demo.kill()  # the fixture sees that both servers are gone


def test_a_server_that_ends_is_told(data: Path, demo: DemoProcess) -> None:
    httpx2.get(f"{demo.backend_url}/health", trust_env=False).raise_for_status()
    port = urlsplit(demo.backend_url).port
    _kill_listener(port)
    assert demo.wait() == 1
    assert "labelvino: the backend has ended: " in demo.talk


def _kill_listener(port: int | None) -> None:
    """End the process whose command line says `--port PORT`."""
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        words = entry.read_bytes().split(b"\0")
        if (
            b"serve" in words
            and str(port).encode() in words
            and b"backend.demo.tether" not in words
        ):
            os.kill(int(entry.parent.name), signal.SIGKILL)
            return
    raise AssertionError("there is no such server")


def test_taken_ports(data: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        refused = run_demo(data, "--port", str(port))
    assert refused.returncode == 1
    assert refused.stderr.endswith(
        f"labelvino: port {port} is taken: choose another one, or give none.\n"
    )


def test_damaged_data_is_told(data: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "data"
    shutil.copytree(data, damaged)
    (damaged / "label-studio" / "label_studio.sqlite3").write_bytes(b"no database")
    refused = run_demo(damaged, "--check")
    assert refused.returncode == 1
    assert "run with --reset: that starts over, without what was annotated" in refused.stderr


def test_a_model_and_images_of_ones_own(data: Path, tmp_path: Path) -> None:
    images = tmp_path / "my scenes"
    images.mkdir()
    for seed in (1, 2):
        (images / f"scène {seed}.jpg").write_bytes(encode_jpeg(draw_scene(seed, 480, 320)))
    (images / "notes.txt").write_text("no image")
    model = tmp_path / "mine.xml"
    shutil.copy(MODEL_PATH, model)
    shutil.copy(MODEL_PATH.with_suffix(".bin"), model.with_suffix(".bin"))
    own = ("--check", "--model", model, "--images", images)
    for _ in range(2):  # twice changes nothing
        checked = run_demo(data, *own)
        assert checked.returncode == 0, checked.stderr
        assert checked.stdout.startswith("demo ok: 2 tasks, 2 with a prediction, ")


def test_an_image_without_anything_fails_the_check(data: Path, tmp_path: Path) -> None:
    images = tmp_path / "grey"
    images.mkdir()
    Image.new("RGB", (320, 240), (128, 128, 128)).save(images / "nothing.png")
    failed = run_demo(data, "--check", "--images", images)
    assert failed.returncode == 1
    assert failed.stdout == ""
    assert "the check of the demo failed: 1 tasks, 1 with a prediction, 0 regions" in failed.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--model", str(MODEL_PATH)), "a model of your own needs images of its own"),
        (("--images", "nowhere"), "there is no folder nowhere"),
        (("--model", "nowhere.xml", "--images", "."), "nowhere.xml"),
    ],
)
def test_what_cannot_work_is_told_before_anything_starts(
    arguments: tuple[str, ...], sentence: str, tmp_path: Path
) -> None:
    refused = run_demo(tmp_path / "data", *arguments)
    assert refused.returncode == 1
    (line,) = refused.stderr.splitlines()
    assert line.startswith("labelvino: ")
    assert sentence in line
