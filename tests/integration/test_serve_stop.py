"""`labelvino serve` ends when it is told to, with what is done and within its time."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import httpx2
import pytest
from PIL import Image

from tests.serve_process import COMMAND, ENVIRONMENT, serving
from tests.toy_model import save_toy_model
from tests.unit.labelstudio.local_server import LocalServer, local_server, send

CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="person"/></RectangleLabels></View>"""
ONE_WORKER = {
    "LABELVINO_ALLOWED_HOSTS": "127.0.0.1",
    "LABELVINO_WORKERS": "1",
    "LABELVINO_FETCH_TIMEOUT": "600",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_toy_model(tmp_path / "toy.xml", [((10.0, 10.0, 30.0, 30.0), 0.9, 0)])


class Images:
    """/ok.png is answered; anything else only after the test."""

    def __init__(self, server: LocalServer) -> None:
        self.url = server.url
        self.release = threading.Event()
        self.asked = threading.Semaphore(0)
        out = BytesIO()
        Image.new("RGB", (100, 50), "grey").save(out, "PNG")
        server.routes["/ok.png"] = send(body=out.getvalue(), kind="image/png")
        server.otherwise = self._wait

    def _wait(self, _handler: BaseHTTPRequestHandler) -> None:
        self.asked.release()
        self.release.wait(120)


@pytest.fixture
def images() -> Iterator[Images]:
    with local_server() as server:
        images = Images(server)
        yield images
        images.release.set()


def test_a_task_that_does_not_end_is_left_when_the_time_is_up(model: Path, images: Images) -> None:
    environment = ONE_WORKER | {"LABELVINO_STOP_TIMEOUT": "3"}
    with serving(model, **environment) as server, ThreadPoolExecutor(1) as threads:
        assert "a stop gives tasks under way 3 s" in server.log
        urls = [f"{images.url}/{name}.png" for name in ("ok", "stuck", "ok")]
        answer = threads.submit(server.predict, CONFIG, *urls)
        assert images.asked.acquire(timeout=30)
        server.process.send_signal(signal.SIGTERM)
        results = answer.result(60)["results"]
        assert server.ended() == 0
        assert not images.release.is_set()  # it did not wait for the image
    assert [bool(result) for result in results] == [True, False, False]
    assert results[1:] == [{}, {}]
    assert "2 of 3 tasks were not reached before the stop" in server.log
    assert server.lines[-1].endswith("stopped, and left a task that did not end in time")
    assert "Traceback" not in server.log


@pytest.mark.parametrize("again", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(again: signal.Signals, model: Path, images: Images) -> None:
    environment = ONE_WORKER | {"LABELVINO_STOP_TIMEOUT": "3000"}
    with serving(model, **environment) as server, ThreadPoolExecutor(1) as threads:
        answer = threads.submit(server.predict, CONFIG, f"{images.url}/stuck.png")
        assert images.asked.acquire(timeout=30)
        server.process.send_signal(signal.SIGTERM)
        server.wait_for("Shutting down")
        assert server.process.poll() is None
        server.process.send_signal(again)
        assert server.ended() == -again
        with pytest.raises(httpx2.TransportError):
            answer.result(60)


def test_a_closed_terminal_ends_it(model: Path) -> None:
    """SIGHUP asks for a reload, unless it says that the terminal is gone."""
    controller, terminal = pty.openpty()
    command = [*COMMAND, "serve", "--port", "0", "--model", str(model)]
    process = subprocess.Popen(
        # setsid makes the terminal its own, so that closing it hangs up
        ["setsid", "--ctty", "--wait", *command], stdin=terminal, stderr=subprocess.PIPE, text=True,
        env=ENVIRONMENT,
    )  # fmt: skip
    os.close(terminal)
    assert process.stderr is not None
    with process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "startup complete" in line:
                break
        os.close(controller)
        lines += list(process.stderr)
        assert process.wait(60) == 0
    assert lines[-1].strip().endswith("stopped")
    assert "model loaded again" not in "".join(lines)
