"""Servers as real processes: started, waited for, and ended by their own process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

STOP_TIMEOUT_S = 15.0


class ServerError(AssertionError):
    """A server did not come up; the message carries the end of its log."""


def free_port() -> int:
    """A port of the loopback address that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class ServerProcess:
    """One server in a process group of its own, with its output in a log file."""

    def __init__(
        self, command: Sequence[str | Path], env: Mapping[str, str], log: Path, folder: Path
    ) -> None:
        self.log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        # Nothing of the caller's environment but the search path: no proxy, no token, no setting.
        clean = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                env=clean | dict(env),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_healthy(self, url: str, timeout_s: float) -> None:
        """Return once `url` answers 200. Raises ServerError when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ServerError(f"ended with {self._process.returncode}:\n{self.log_tail()}")
            try:
                if httpx2.get(url, timeout=5.0, trust_env=False).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.1)
        raise ServerError(f"{url} did not answer within {timeout_s} s:\n{self.log_tail()}")

    def log_text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 30) -> str:
        return "\n".join(self.log_text().splitlines()[-lines:])

    def stop(self) -> None:
        """End the process and its children."""
        for sign in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._process.wait(timeout=STOP_TIMEOUT_S)
                break
            except subprocess.TimeoutExpired:
                continue
        self._process.wait(timeout=STOP_TIMEOUT_S)
