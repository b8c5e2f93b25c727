"""`labelvino serve` as a real process."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2
from child_process import ServerProcess, free_port
from prometheus_client.parser import text_string_to_metric_families

START_TIMEOUT_S = 60.0


def command_path(name: str) -> Path:
    """One of the project's commands, of the environment that runs the tests."""
    return Path(sys.executable).parent / name


class BackendServer:
    """A running backend.

    url: its address, without user and password
    host_port: the part of it after http://
    """

    def __init__(
        self, model: Path, env: Mapping[str, str], arguments: Sequence[str], log: Path
    ) -> None:
        port = free_port()
        self.host_port = f"127.0.0.1:{port}"
        self.url = f"http://{self.host_port}"
        command = [command_path("labelvino"), "serve", "--model", model, "--device", "CPU"]
        command += ["--port", str(port), *arguments]
        self._process = ServerProcess(command, env, log, model.parent)
        try:
            self._process.wait_until_healthy(f"{self.url}/health", START_TIMEOUT_S)
        except BaseException:
            self._process.stop()
            raise

    def stop(self) -> None:
        self._process.stop()

    def log_text(self) -> str:
        return self._process.log_text()

    def answered(self, path: str, status: int, auth: tuple[str, str] | None = None) -> int:
        """How many requests to `path` were answered with `status` so far, by its own metrics."""
        response = httpx2.get(f"{self.url}/metrics", auth=auth, timeout=10.0, trust_env=False)
        response.raise_for_status()
        wanted = {"path": path, "status": str(status)}
        for family in text_string_to_metric_families(response.text):
            for sample in family.samples:
                if sample.name == "labelvino_request_seconds_count" and sample.labels == wanted:
                    return int(sample.value)
        return 0
