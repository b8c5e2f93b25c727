"""`labelvino worker` and `labelvino prelabel --queue` as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from backend_server import command_path
from redis import Redis

from backend.bulk.ledger import PREFIX, RUNS
from backend.demo import MODEL_PATH

END_TIMEOUT_S = 240.0


class QueueProcess:
    """One of the commands, with its output in files."""

    def __init__(self, folder: Path, name: str, arguments: list[str], env: dict[str, str]) -> None:
        self._out, self._talk = folder / f"{name}.out", folder / f"{name}.err"
        clean = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(folder)}
        with self._out.open("wb") as out, self._talk.open("wb") as talk:
            self.process = subprocess.Popen(
                [command_path("labelvino"), *arguments],
                stdin=subprocess.DEVNULL, stdout=out, stderr=talk, env=clean | env,
            )  # fmt: skip

    @property
    def talk(self) -> str:
        return self._talk.read_text(encoding="utf-8", errors="replace")

    @property
    def printed(self) -> str:
        return self._out.read_text(encoding="utf-8")

    @property
    def answer(self) -> Any:
        return json.loads(self.printed)

    def kill(self) -> None:
        """As a power cut does."""
        self.process.kill()
        self.process.wait()

    def ended(self) -> int:
        return self.process.wait(END_TIMEOUT_S)

    def stop(self) -> int:
        """SIGTERM; gives the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(END_TIMEOUT_S)


class BulkCommands:
    """Starts them against one queue and one Label Studio; `close` ends what still runs."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = env
        self._started: list[QueueProcess] = []

    def worker(self, name: str, *arguments: str, model: Path = MODEL_PATH) -> QueueProcess:
        return self.run(name, "worker", "--model", str(model), "--device", "CPU", *arguments)

    def prelabel(self, name: str, project: int, *arguments: str) -> QueueProcess:
        given = ["--project", str(project), "--model", str(MODEL_PATH), "--json", *arguments]
        return self.run(name, "prelabel", *given)

    def run(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> QueueProcess:
        """`env`: besides that of all commands."""
        process = QueueProcess(self._folder, name, list(arguments), self._env | (env or {}))
        self._started.append(process)
        return process

    def close(self) -> None:
        for started in self._started:
            started.kill()


def results(redis: Redis) -> int:
    """How many jobs have a result by now."""
    return sum(redis.hlen(f"{PREFIX}{run.decode()}:results") for run in redis.smembers(RUNS))
