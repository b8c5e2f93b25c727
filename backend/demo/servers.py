"""The demo's servers: started as processes of their own, waited for, and ended with the demo."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx2

from backend.runtime.errors import DemoError, SettingsError

LOOPBACK = "127.0.0.1"
_GRACE_S = 10.0
_PORTS_TRIED = 50


def choose_port(usual: int, given: int | None) -> int:
    """The given port, which must be free; else the usual one or the next that is free.

    Raises SettingsError.
    """
    if given is not None:
        if not _is_free(given):
            raise SettingsError(f"port {given} is taken: choose another one, or give none.")
        return given
    for port in range(usual, usual + _PORTS_TRIED):
        if _is_free(port):
            return port
    raise SettingsError(
        f"the ports {usual} to {usual + _PORTS_TRIED - 1} are all taken: give a free one."
    )


class Server:
    """One process with its output in a log file; it ends with this process, however that ends."""

    def __init__(
        self, name: str, command: Sequence[str | Path], env: Mapping[str, str], log: Path
    ) -> None:
        """`env` is all of its environment, but for the search path: no proxy, token or setting of
        the caller's reaches it.
        """
        self.name = name
        self.log = log
        tether = [sys.executable, "-P", "-m", "backend.demo.tether", str(_GRACE_S)]
        clean = {"PATH": os.environ.get("PATH", os.defpath), "LANG": "C.UTF-8"}
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603
                [*tether, *(str(part) for part in command)],
                env=clean | dict(env),
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,  # Ctrl-C on the terminal is ours alone
            )

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_until_up(self, url: str, timeout_s: float) -> None:
        """Return once `url` answers 200. Raises DemoError with the log's last words."""
        end_s = time.monotonic() + timeout_s
        while time.monotonic() < end_s:
            if not self.is_running:
                raise DemoError(f"{self.name} ended at once: {self.last_words()} (log: {self.log})")
            try:
                if httpx2.get(url, timeout=5.0, trust_env=False).status_code == 200:
                    return
            except httpx2.TransportError:
                pass
            time.sleep(0.2)
        raise DemoError(f"{self.name} did not answer within {timeout_s:.0f} s (log: {self.log}).")

    def last_words(self) -> str:
        """The last line of its log that says something."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"

    def stop(self) -> None:
        """End it, kindly first; returns when it is gone."""
        pipe = self._process.stdin
        if pipe is not None:
            pipe.close()  # the tether's sign
        try:
            self._process.wait(_GRACE_S + 5)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def _is_free(port: int) -> bool:
    """Whether it can be listened on, and nobody answers there on another address either."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) != 0
