"""`labelvino serve` as a real process on a free loopback port."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from backend.settings import CONFIG_VARIABLE, environment_names

_OURS = {CONFIG_VARIABLE} | {n for names in environment_names().values() for n in names}
# No setting of whoever runs the tests reaches the process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name not in _OURS}
COMMAND = (sys.executable, "-c", "from backend.cli import main; main()")


class ServeProcess:
    """A running server; `lines` are what it has logged so far."""

    def __init__(self, arguments: tuple[object, ...], environment: dict[str, str]) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.process = subprocess.Popen(
            [*COMMAND, "serve", "--port", str(self.port), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT | environment,
        )
        self.lines: list[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60)

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))

    @property
    def log(self) -> str:
        return "\n".join(self.lines)

    def wait_for(self, text: str, times: int = 1) -> None:
        """Until the log has said `text` so many times."""
        deadline = time.monotonic() + 60
        while self.log.count(text) < times:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, f"never said '{text}':\n{self.log}"
            time.sleep(0.05)

    def ended(self) -> int:
        """The exit code, once it has ended by itself."""
        code = self.process.wait(60)
        self._reader.join(20)
        return code

    def predict(self, config: str, *images: str) -> dict[str, Any]:
        tasks = [{"id": i, "data": {"image": image}} for i, image in enumerate(images)]
        body = {"tasks": tasks, "label_config": config}
        answer: dict[str, Any] = self.client.post("/predict", json=body).json()
        return answer

    def close(self) -> None:
        self.client.close()
        self.process.kill()
        self.process.wait()
        self._reader.join(20)
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextmanager
def serving(model: Path, *arguments: object, **environment: str) -> Iterator[ServeProcess]:
    """Serve `model` until the block ends."""
    server = ServeProcess(("--model", model, *arguments), environment)
    try:
        server.wait_for("Application startup complete")
        yield server
    finally:
        server.close()
