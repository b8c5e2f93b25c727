"""A stub of Label Studio with workers, `prelabel --queue` and `jobs` around it."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis
from redis_server import RedisServer
from serve_process import COMMAND, ENVIRONMENT

from backend.bulk.ledger import Ledger
from backend.bulk.worker_command import run_worker
from backend.cli import cli
from backend.settings import Settings, environment_names, load_settings
from benchmarks.stub_studio import StubStudio, serve

TOKEN = "0123456789abcdef0123456789abcdef01234567"
PASSWORD = "open-sesame"
TIMEOUT_S = 90


class Site:
    """A stub of Label Studio, and labelvino with it: in this process, or as a process."""

    def __init__(self, folder: Path, redis: RedisServer, model: Path) -> None:
        self.studio = StubStudio(200)
        self._server = serve(self.studio)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.look: Redis = redis.client(PASSWORD)
        self.ledger = Ledger(self.look)
        self._folder = folder
        self._given = {
            "LABEL_STUDIO_URL": f"http://127.0.0.1:{self._server.server_address[1]}",
            "LABEL_STUDIO_API_KEY": TOKEN,
            "LABELVINO_QUEUE_URL": redis.url.replace("//", f"//:{PASSWORD}@"),
            "LABELVINO_MODEL": str(model),
            "LABELVINO_DEVICE": "CPU",
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def settings(self, **given: object) -> Settings:
        fields = {variables[0]: name for name, variables in environment_names().items()}
        ours = {fields[variable]: value for variable, value in self._given.items()}
        return load_settings(**{**ours, **given})

    def plan(self, *arguments: str) -> None:
        """`labelvino prelabel --no-wait`"""
        self.command("prelabel", "--project", "1", "--no-wait", *arguments)

    def command(self, *arguments: str) -> None:
        """`labelvino ...` in this process. Raises what it raises, SystemExit among it."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self._given.items():
                patch.setenv(name, value)
            cli.main(list(arguments), prog_name="labelvino", standalone_mode=False)

    def work(self, *, metrics_port: int | None = None, **given: object) -> None:
        """`labelvino worker --burst`"""
        settings = self.settings(**given)
        assert run_worker(settings, burst=True, metrics_port=metrics_port) == 0

    def start(self, name: str, *arguments: object, **environment: str) -> subprocess.Popen[bytes]:
        with self.log(name).open("wb") as talk, self.out(name).open("wb") as out:
            process = subprocess.Popen(
                [*COMMAND, *map(str, arguments)], stdin=subprocess.DEVNULL, stdout=out,
                stderr=talk, env=ENVIRONMENT | self._given | environment,
            )  # fmt: skip
        self._started.append(process)
        return process

    def log(self, name: str) -> Path:
        return self._folder / f"{name}.err"

    def out(self, name: str) -> Path:
        return self._folder / f"{name}.out"

    def wait_until(self, reached: Callable[[], bool], name: str = "") -> None:
        """`name`: of the process whose log tells why it was not."""
        ends_at_s = time.monotonic() + TIMEOUT_S
        while not reached():
            assert time.monotonic() < ends_at_s, name and self.log(name).read_text()
            time.sleep(0.05)

    def says(self, name: str, text: str) -> None:
        self.wait_until(lambda: text in self.log(name).read_text(), name)

    def stored(self) -> dict[int, int]:
        """How many predictions each task has."""
        return {task_id: len(found) for task_id, found in self.studio.predictions.items() if found}

    def close(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()
        self._server.shutdown()
        self._server.server_close()
        self.look.close()
