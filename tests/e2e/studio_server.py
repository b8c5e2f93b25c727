"""A real Label Studio for one test session."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from child_process import ServerProcess, free_port

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ROOT / "backend" / "demo" / "label-studio.txt"
TEMPLATES = ROOT / ".cache" / "label-studio-template"

# An account of a throw-away server on the loopback address.
USER = "tester@example.com"
PASSWORD = "labelvino-e2e"
LEGACY_TOKEN = "e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0e2e0"

START_TIMEOUT_S = 90.0
MIGRATION_TIMEOUT_S = 300.0


def label_studio_command() -> Path:
    """LABELVINO_LABEL_STUDIO_BIN, else the environment's command; skips where there is none."""
    command = Path(
        os.environ.get("LABELVINO_LABEL_STUDIO_BIN")
        or ROOT / ".cache" / "envs" / "label-studio" / "bin" / "label-studio"
    )
    if not command.exists():
        reason = (
            f"no Label Studio at {command}: run `make env-label-studio`, "
            "or set LABELVINO_LABEL_STUDIO_BIN"
        )
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return command


def _environment(data: Path, files: Path) -> dict[str, str]:
    return {
        "HOME": str(data),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": LEGACY_TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(files),
        # The backend under test listens on the loopback address.
        "USE_DEFAULT_BANNED_SUBNETS": "false",
        # It speaks to nobody outside.
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }


def _start(data: Path, files: Path, port: int, log: Path) -> ServerProcess:
    command: list[str | Path] = [label_studio_command(), "start", "--no-browser"]
    command += ["--data-dir", data, "--internal-host", "127.0.0.1", "--port", str(port)]
    return ServerProcess(command, _environment(data, files), log, data)


def _run(
    data: Path, files: Path, log: Path, timeout_s: float, port: int | None = None
) -> tuple[ServerProcess, str]:
    port = port or free_port()
    process = _start(data, files, port, log)
    url = f"http://127.0.0.1:{port}"
    try:
        process.wait_until_healthy(f"{url}/health", timeout_s)
    except BaseException:
        process.stop()
        raise
    return process, url


def migrated_template(logs: Path) -> Path:
    """A data folder whose database is migrated and has the account; made once a version.

    The migrations take half a minute, a start on their result four seconds.
    """
    key = hashlib.sha256(REQUIREMENTS.read_bytes() + Path(__file__).read_bytes()).hexdigest()[:16]
    template = TEMPLATES / key
    if template.is_dir():
        return template
    TEMPLATES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=TEMPLATES, prefix="making-") as made:
        data = Path(made) / "data"
        data.mkdir()
        process, _ = _run(data, data, logs / "label-studio-migrations.log", MIGRATION_TIMEOUT_S)
        process.stop()
        try:
            data.rename(template)
        except OSError:  # another run was faster
            if not template.is_dir():
                raise
    return template


class StudioServer:
    """A running Label Studio with a database of its own.

    url: its address
    files: the folder below which it serves local files
    """

    def __init__(self, folder: Path, logs: Path) -> None:
        data = folder / "data"
        self.files = folder / "files"
        self.files.mkdir()
        shutil.copytree(migrated_template(logs), data)
        self._data, self._logs = data, logs
        self._process, self.url = _run(data, self.files, logs / "label-studio.log", START_TIMEOUT_S)

    def stop(self) -> None:
        self._process.stop()

    def start_again(self) -> None:
        """After `stop`: on the same port, with the same database."""
        port = int(self.url.rpartition(":")[2])
        log = self._logs / "label-studio-again.log"
        self._process, _ = _run(self._data, self.files, log, START_TIMEOUT_S, port)
