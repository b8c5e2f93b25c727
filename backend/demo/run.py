"""The demo: Label Studio, the backend, a project with predictions; until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from backend.demo import MODEL_PATH
from backend.demo.folder import DemoFolder
from backend.demo.images import drawn_images, own_images
from backend.demo.project import DemoProject, Tally
from backend.demo.servers import LOOPBACK, Server, choose_port
from backend.demo.steps import Steps
from backend.demo.studio import (
    USER,
    install_studio,
    is_label_studio,
    start_studio,
    studio_version,
)
from backend.labelstudio.api import LabelStudioApi
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.fetch_limits import FetchLimits
from backend.labelstudio.label_config import ControlKind
from backend.runtime.contract import ModelContract
from backend.runtime.engine import load_contract
from backend.runtime.errors import DemoError, SettingsError
from backend.runtime.overlay import label_colours

STUDIO_PORT, BACKEND_PORT = 8080, 9090
_FEW_LABELS = 12  # more of them, twice, fill the page
_BACKEND_TIMEOUT_S = 300.0  # a large model compiles for minutes on a GPU
_API_TIMEOUT_S = 150.0  # Label Studio itself waits 100 s for predictions


@dataclass(frozen=True)
class DemoOptions:
    """What the command line asks for; None: the demo's own choice.

    folder         what is kept until next time
    environment    Label Studio's packages
    serve_options  go to `labelvino serve`, such as ("--device", "CPU")
    """

    folder: Path
    environment: Path | None = None
    model: Path | None = None
    images: Path | None = None
    max_images: int = 100
    studio_port: int | None = None
    backend_port: int | None = None
    serve_options: tuple[str, ...] = ()
    reset: bool = False


@dataclass
class RunningDemo:
    """A demo that is up: where it is, and what it has."""

    url: str
    project_url: str
    backend_url: str
    user: str
    password: str = field(repr=False)
    tally: Tally
    servers: tuple[Server, ...]

    def wait(self) -> None:
        """Return when told to end (Ctrl-C, SIGTERM). Raises DemoError where a server ends first."""
        try:
            while True:
                time.sleep(0.5)
                for server in self.servers:
                    if not server.is_running:
                        raise DemoError(
                            f"{server.name} has ended: {server.last_words()} (log: {server.log})"
                        )
        except KeyboardInterrupt:
            return


@contextmanager
def running_demo(options: DemoOptions) -> Iterator[RunningDemo]:
    """Set up and start all of it; ends it when the block ends. Raises LabelvinoError."""
    steps = Steps()
    model = options.model or MODEL_PATH
    contract = load_contract(model)
    if options.images is None and options.model is not None:
        raise SettingsError("a model of your own needs images of its own: add --images FOLDER.")
    folder = DemoFolder(options.folder)
    with ExitStack() as running, _ended_by_signals():
        found = running.enter_context(folder.opened(reset=options.reset))
        if found:
            steps.say(found)
        images = (
            drawn_images(folder.path / "scenes", steps)
            if options.images is None
            else own_images(options.images, options.max_images, steps)
        )
        ports = _ports(options, steps)
        studio = install_studio(options.environment or _environment(), steps)
        label_studio, url = start_studio(studio, folder, ports[0], steps)
        running.callback(_stop, label_studio, steps)
        with _api(url, folder) as api:
            api.user()  # the account works
            folder.state.studio_is_ready, folder.state.address = True, url
            folder.save()
            backend = _start_backend(model, options, folder, url, ports[1], steps)
            running.callback(_stop, backend, steps)
            backend_url = f"http://{LOOPBACK}:{ports[1]}"
            names = contract.label_names
            project = DemoProject(
                api, _title(options, contract), _label_config(contract), names, steps
            )
            project.fill(images)
            version = project.connect(backend_url)
            tally = project.predict(version)
        yield RunningDemo(
            url,
            f"{url}/projects/{project.project.id}/data",
            backend_url,
            USER,
            folder.state.password,
            tally,
            (label_studio, backend),
        )


def _ports(options: DemoOptions, steps: Steps) -> tuple[int, int]:
    studio = choose_port(STUDIO_PORT, options.studio_port)
    backend = choose_port(BACKEND_PORT, options.backend_port)
    for name, port, usual in (
        ("Label Studio", studio, options.studio_port or STUDIO_PORT),
        ("the backend", backend, options.backend_port or BACKEND_PORT),
    ):
        if port != usual:
            steps.say(f"Port {usual} is taken, so {name} of the demo takes {port}.")
    if studio != STUDIO_PORT and is_label_studio(f"http://{LOOPBACK}:{STUDIO_PORT}"):
        steps.say(
            f"The Label Studio at port {STUDIO_PORT} is left alone; 'labelvino connect' would "
            "connect a backend to it."
        )
    return studio, backend


def _start_backend(
    model: Path, options: DemoOptions, folder: DemoFolder, url: str, port: int, steps: Steps
) -> Server:
    command = [sys.executable, "-P", "-m", "backend.cli", "serve", "--model", str(model.resolve())]
    command += ["--host", LOOPBACK, "--port", str(port), *options.serve_options]
    env = {"LABEL_STUDIO_URL": url, "LABEL_STUDIO_API_KEY": folder.state.token}
    env |= {"HOME": str(folder.path)}
    server = Server("the backend", command, env, folder.logs / "backend.log")
    try:
        with steps.step("Starting the backend"):
            server.wait_until_up(f"http://{LOOPBACK}:{port}/health", _BACKEND_TIMEOUT_S)
    except BaseException:
        server.stop()
        raise
    return server


def _stop(server: Server, steps: Steps) -> None:
    with steps.step(f"Ending {server.name}"):
        server.stop()


@contextmanager
def _api(url: str, folder: DemoFolder) -> Iterator[LabelStudioApi]:
    limits = FetchLimits(read_timeout_s=_API_TIMEOUT_S, total_timeout_s=_API_TIMEOUT_S)
    with LabelStudioClient(url, folder.state.token, limits=limits) as client:
        yield LabelStudioApi(client, _API_TIMEOUT_S)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Within the block, being told to end is the same as Ctrl-C, also where that was ignored."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {sign: signal.signal(sign, interrupt) for sign in signals}
    try:
        yield
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _title(options: DemoOptions, contract: ModelContract) -> str:
    if options.images is None:
        return "labelvino demo"
    return f"{options.images.resolve().name} by {contract.name}"


def _label_config(contract: ModelContract) -> str:
    control: ControlKind = "rectangle" if contract.mask_frame is None else "polygon"
    names = contract.label_names
    few = len(names) <= _FEW_LABELS
    return write_label_config(
        names, (control,), label_colours(names), smart_tools=("point",) if few else ()
    )


def _environment() -> Path:
    """Shared by all demos of this user."""
    return Path.home() / ".labelvino" / f"label-studio-{studio_version()}"
