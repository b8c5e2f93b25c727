"""One Label Studio, one browser and one converted model for all end-to-end tests."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
from backend_server import BackendServer, command_path
from playwright.sync_api import Playwright, sync_playwright
from studio_api import LabelStudio, Project
from studio_browser import StudioBrowser
from studio_server import LEGACY_TOKEN, ROOT, StudioServer

MakeProject = Callable[[str], Project]
MakeBackend = Callable[..., BackendServer]

HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)  # before -m looks at the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def artifacts() -> Path:
    """Where logs and pictures are kept after the run; git ignores it."""
    folder = ROOT / "artifacts"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def model(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real Mask R-CNN, converted by the real command."""
    written = tmp_path_factory.mktemp("model") / "mask_rcnn_2go.xml"
    source = shared_dir / "models" / "mask_rcnn_2go_tf" / "frozen_inference_graph.pb"
    subprocess.run(
        [command_path("labelvino-model"), "convert", source, "-o", written, "--labels", "coco91"],
        check=True,
        timeout=240,
        capture_output=True,
    )
    return written


@pytest.fixture(scope="session")
def studio(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudioServer]:
    """A running Label Studio; its log is kept."""
    server = StudioServer(tmp_path_factory.mktemp("label-studio"), artifacts)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def api(studio: StudioServer) -> Iterator[LabelStudio]:
    """Label Studio's API with the legacy token."""
    client = LabelStudio(studio.url, f"Token {LEGACY_TOKEN}")
    yield client
    client.close()


@pytest.fixture(scope="session")
def personal_access_token(api: LabelStudio) -> str:
    """Label Studio allows a user one live token of this kind."""
    return api.create_personal_access_token()


@pytest.fixture(scope="session")
def driver() -> Iterator[Playwright]:
    """Of all browsers: Playwright runs once a process."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(
    driver: Playwright,
    studio: StudioServer,
    artifacts: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[StudioBrowser]:
    """A headless Chromium, signed in."""
    shown = StudioBrowser(driver, studio.url, tmp_path_factory.mktemp("chromium"), artifacts)
    yield shown
    shown.close()


@pytest.fixture
def make_project(api: LabelStudio, request: pytest.FixtureRequest) -> MakeProject:
    """Gives a new project with a label config, named after the test."""

    def make(label_config: str) -> Project:
        return api.create_project(request.node.name, label_config)

    return make


@pytest.fixture(scope="session")
def start_backend(studio: StudioServer, model: Path, artifacts: Path) -> Iterator[MakeBackend]:
    """Starts `labelvino serve ARGUMENTS` with extra environment; all are stopped at the end."""
    numbers = count(1)
    with ExitStack() as running:

        def start(*arguments: str, token: str = LEGACY_TOKEN, **env: str) -> BackendServer:
            settings = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": token}
            server = BackendServer(
                model,
                settings | {"HOME": str(model.parent)} | env,
                arguments,
                artifacts / f"backend-{next(numbers)}.log",
            )
            running.callback(server.stop)
            return server

        yield start


@pytest.fixture(scope="session")
def backend(start_backend: MakeBackend, studio: StudioServer) -> BackendServer:
    """The backend of most tests: every control gets regions, local files come from the disk."""
    return start_backend("--controls", "all", LABELVINO_LOCAL_FILES_ROOT=str(studio.files))
