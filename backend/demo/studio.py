"""The demo's Label Studio: an environment, a database and an account of its own."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import httpx2

from backend.demo.environment import EnvironmentMakingError, is_current, make_environment
from backend.demo.folder import DemoFolder
from backend.demo.servers import LOOPBACK, Server
from backend.demo.steps import Steps
from backend.runtime.errors import DemoError

USER = "demo@example.com"
_REQUIREMENTS = Path(str(files("backend.demo") / "label-studio.txt"))
_START_TIMEOUT_S = 120.0
_FIRST_START_TIMEOUT_S = 600.0  # the migrations


def studio_version() -> str:
    """The release that the demo installs."""
    found = re.search(r"^label-studio==(\S+)", _REQUIREMENTS.read_text("utf-8"), re.MULTILINE)
    assert found is not None  # noqa: S101 - the pins are made for it
    return found[1]


def install_studio(environment: Path, steps: Steps) -> Path:
    """Label Studio's command, installed where it is missing or broken. Raises DemoError."""
    if not is_current(environment, _REQUIREMENTS):
        with steps.step(f"Installing Label Studio {studio_version()}, the first time") as show:

            def advance(seen: int, total: int) -> None:
                show(f"{seen} of {total} packages")

            try:
                make_environment(environment, _REQUIREMENTS, advance)
            except EnvironmentMakingError as error:
                last = str(error).splitlines()[-1]
                raise DemoError(
                    f"Label Studio could not be installed ({last}): check the network and the "
                    "space on the disk, and run the demo again."
                ) from error
    return environment / "bin" / "label-studio"


def start_studio(command: Path, folder: DemoFolder, port: int, steps: Steps) -> tuple[Server, str]:
    """A running Label Studio and its address; the caller stops it. Raises DemoError."""
    first = not folder.state.studio_is_ready
    url = f"http://{LOOPBACK}:{port}"
    data = folder.studio_data
    server = Server(
        "Label Studio",
        [command, "start", "--no-browser", "--data-dir", data, "--internal-host", LOOPBACK,
         "--port", str(port)],
        _environment(folder),
        folder.logs / "label-studio.log",
    )  # fmt: skip
    what = "Starting Label Studio" + (", which makes its database" if first else "")
    try:
        with steps.step(what):
            server.wait_until_up(
                f"{url}/health", _FIRST_START_TIMEOUT_S if first else _START_TIMEOUT_S
            )
    except BaseException as error:
        server.stop()
        if isinstance(error, DemoError) and not first:
            raise DemoError(
                f"{error} If its data is damaged, run with --reset: that starts over, without "
                "what was annotated."
            ) from error
        raise
    return server, url


def is_label_studio(url: str) -> bool:
    """Whether a Label Studio answers there."""
    try:
        answer = httpx2.get(f"{url}/api/version/", timeout=2.0, trust_env=False).json()
    except (httpx2.TransportError, ValueError):
        return False
    return isinstance(answer, dict) and "label-studio-os-package" in answer


def _environment(folder: DemoFolder) -> dict[str, str]:
    return {
        "HOME": str(folder.studio_data),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": folder.state.password,
        "LABEL_STUDIO_USER_TOKEN": folder.state.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        # Without it Label Studio refuses a backend on the loopback address.
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        # It serves this machine only, and speaks to nobody outside.
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
