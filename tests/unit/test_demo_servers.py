"""Ports, and processes that end with the demo."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from backend.demo.servers import Server, choose_port
from backend.runtime.errors import DemoError, SettingsError

# Writes its pid, answers nothing, and says when it is told to end.
_CHILD = """
import os, pathlib, signal, sys, time
def end(*_):
    print("told to end", flush=True)
    if sys.argv[2] == "kind": sys.exit(0)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))
while True: time.sleep(0.05)
"""


@pytest.fixture
def taken_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_the_usual_port_or_the_next(taken_port: int) -> None:
    assert choose_port(taken_port, None) > taken_port


def test_a_given_port_is_taken_as_it_is(taken_port: int) -> None:
    with pytest.raises(SettingsError, match=f"port {taken_port} is taken: choose another"):
        choose_port(8080, taken_port)


def _start(tmp_path: Path, manner: str) -> tuple[Server, int]:
    pid_file = tmp_path / "pid"
    command = [sys.executable, "-c", _CHILD, pid_file, manner]
    server = Server("it", command, {}, tmp_path / "log")
    return server, _read_pid(pid_file)


def _read_pid(pid_file: Path) -> int:
    for _ in range(200):
        if pid_file.exists() and pid_file.read_text():
            return int(pid_file.read_text())
        time.sleep(0.05)
    raise AssertionError("the process did not start")


def _is_gone(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_stop_ends_it_kindly(tmp_path: Path) -> None:
    server, pid = _start(tmp_path, "kind")
    assert server.is_running
    server.stop()
    assert not server.is_running
    assert _is_gone(pid)
    assert server.last_words() == "told to end"


def test_stop_ends_what_does_not_listen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.demo.servers._GRACE_S", 0.3)
    server, pid = _start(tmp_path, "stubborn")
    server.stop()
    assert _is_gone(pid)


def test_it_ends_when_its_starter_is_killed(tmp_path: Path) -> None:
    starter = (
        "import sys, time; from pathlib import Path; from backend.demo.servers import Server\n"
        f"Server('it', [sys.executable, '-c', {_CHILD!r}, {str(tmp_path / 'pid')!r}, 'kind'], {{}},"
        f" Path({str(tmp_path / 'log')!r}))\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", starter])
    pid = _read_pid(tmp_path / "pid")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert _is_gone(pid)
    assert "told to end" in (tmp_path / "log").read_text()


def test_what_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    server = Server("it", [sys.executable, "-c", "print('no disk'); exit(3)"], {}, tmp_path / "log")
    with pytest.raises(DemoError, match=r"it ended at once: no disk \(log: .*log\)"):
        server.wait_until_up("http://127.0.0.1:9/health", 20)
    server.stop()


def test_what_does_not_answer_is_told(tmp_path: Path) -> None:
    server, _ = _start(tmp_path, "kind")
    with pytest.raises(DemoError, match="it did not answer within 0 s"):
        server.wait_until_up("http://127.0.0.1:9/health", 0.1)
    server.stop()


def test_nothing_of_the_callers_environment_reaches_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELVINO_SCORE_THRESHOLD", "0.9")
    show = "import os; print(sorted(set(os.environ) - {'LC_CTYPE'}))"
    server = Server("it", [sys.executable, "-c", show], {"MINE": "1"}, tmp_path / "log")
    with pytest.raises(DemoError):
        server.wait_until_up("http://127.0.0.1:9/health", 20)
    assert server.last_words() == "['LANG', 'MINE', 'PATH']"
    server.stop()
