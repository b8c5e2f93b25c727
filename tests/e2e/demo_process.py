"""`labelvino demo` as a person runs it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from backend_server import command_path
from studio_server import ROOT

SET_UP_TIMEOUT_S = 300.0
END_TIMEOUT_S = 30.0
ENVIRONMENT = ROOT / ".cache" / "envs" / "label-studio"


def demo_command(data: Path, *arguments: str | Path) -> list[str]:
    """The command line of a demo in the folder `data`."""
    command = [command_path("labelvino"), "demo", "--data", data, "--environment", ENVIRONMENT]
    return [str(part) for part in (*command, "--device", "CPU", *arguments)]


def run_demo(data: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """A demo that ends by itself."""
    return subprocess.run(
        demo_command(data, *arguments),
        capture_output=True,
        text=True,
        check=False,
        timeout=SET_UP_TIMEOUT_S,
    )


class DemoProcess:
    """A demo that is up.

    project_url, user, password, backend_url: as it prints them
    """

    def __init__(self, data: Path, logs: Path, *arguments: str | Path) -> None:
        self._out, self._talk = logs / "demo.out", logs / "demo.err"
        with self._out.open("wb") as out, self._talk.open("wb") as talk:
            self._process = subprocess.Popen(
                demo_command(data, *arguments), stdout=out, stderr=talk, process_group=0,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        try:
            self.project_url = self._printed("Label Studio")
            self.user, self.password = self._printed("sign in as"), self._printed("password")
            self.backend_url = self._printed("backend")
        except BaseException:
            self.kill()
            raise

    @property
    def url(self) -> str:
        return self.project_url.partition("/projects/")[0]

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def talk(self) -> str:
        return self._talk.read_text()

    @property
    def printed(self) -> str:
        return self._out.read_text()

    def end(self, sign: signal.Signals = signal.SIGINT) -> int:
        """Tell it to end; gives its exit code."""
        self._process.send_signal(sign)
        return self._process.wait(END_TIMEOUT_S)

    def wait(self) -> int:
        return self._process.wait(END_TIMEOUT_S)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def _printed(self, name: str) -> str:
        end_s = time.monotonic() + SET_UP_TIMEOUT_S
        while time.monotonic() < end_s:
            found = re.search(rf"^  {name}  +([^ ,\n]+)", self.printed, re.MULTILINE)
            if found and self.printed.endswith("next time.\n\n"):
                return found[1]
            assert self._process.poll() is None, f"the demo ended: {self.talk}"
            time.sleep(0.1)
        raise AssertionError(f"the demo did not come up: {self.talk}")
