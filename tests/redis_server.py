"""A real redis-server on a free loopback port."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis

START_TIMEOUT_S = 20.0


class RedisServer:
    """Started at once; `kill` and `start` end and begin it again on the same port.

    Empty then, unless it was given "--appendonly", "yes".
    """

    def __init__(self, folder: Path, *arguments: str) -> None:
        """`arguments`: further options, such as "--requirepass", "secret"."""
        command = shutil.which("redis-server")
        if command is None:
            reason = "there is no redis-server here: apt install redis-server"
            if os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}"
        self._command = [
            command, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
            "--dir", str(folder), *arguments,
        ]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Returns once it accepts connections."""
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        ends_at_s = time.monotonic() + START_TIMEOUT_S
        while True:
            assert self._process.poll() is None, "redis-server ended at once"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert time.monotonic() < ends_at_s, "redis-server did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """As a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self, password: str | None = None) -> redis.Redis:
        """For a look into it."""
        return redis.Redis(port=self.port, password=password)
