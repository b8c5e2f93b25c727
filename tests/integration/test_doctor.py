"""`labelvino doctor`: each line is ok, a problem with its remedy, or said not to be checked."""

from __future__ import annotations

import json
import time
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openvino import save_model
from redis_server import RedisServer

from backend.checkup.label_studio import MAX_SKEW_S
from backend.cli import cli
from backend.runtime.engine import Engine, read_ir
from backend.runtime.self_test import SelfTest
from tests.drawn_scene import draw_scene
from tests.toy_model import save_toy_model
from tests.unit.labelstudio.local_server import Answer, local_server

INSTANCES = [((10.0, 10.0, 30.0, 30.0), 0.9, 0)]


pytestmark = pytest.mark.usefixtures("no_environment")


def doctor(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the findings by what was checked."""
    done = CliRunner().invoke(cli, ["doctor", "--json", *arguments])
    return done.exit_code, {found["check"]: found for found in json.loads(done.stdout)}


def model_with_self_test(folder: Path, seen_by: Path) -> Path:
    """A toy model whose self-test another model has recorded."""
    model = read_ir(save_toy_model(folder / "plain.xml", INSTANCES))
    SelfTest.record(Engine(seen_by), draw_scene()).write(model)
    save_model(model, folder / "tested.xml")
    return folder / "tested.xml"


def test_nothing_given() -> None:
    code, found = doctor()
    assert code == 0
    assert found["device"]["status"] == found["disk"]["status"] == "ok"
    for check in ("model", "inference", "label studio", "token", "image"):
        assert found[check]["status"] == "unchecked"


def test_a_sound_model(tmp_path: Path) -> None:
    model = model_with_self_test(tmp_path, save_toy_model(tmp_path / "same.xml", INSTANCES))
    code, found = doctor("--model", str(model))
    assert code == 0
    assert "3 labels, masks (box)" in found["model"]["text"]
    assert found["inference"]["status"] == "ok"
    assert found["self-test"] == {
        "check": "self-test", "status": "ok", "text": "1 clear instances, 0 missing, 0 new",
    }  # fmt: skip


def test_a_device_that_computes_other_things(tmp_path: Path) -> None:
    other = save_toy_model(tmp_path / "other.xml", [((500.0, 500.0, 600.0, 600.0), 0.9, 2)])
    code, found = doctor("--model", str(model_with_self_test(tmp_path, other)))
    assert code == 1
    assert found["self-test"]["status"] == "problem"
    assert "--static" in found["self-test"]["text"]


@pytest.mark.parametrize(
    ("arguments", "check", "remedy"),
    [
        (("--model", "none.xml"), "model", "no model file"),
        (("--model", "MODEL", "--device", "XPU"), "inference", "no device 'XPU'"),
        (("--label-studio-url", "http://127.0.0.1:9"), "label studio", "check"),
    ],
)
def test_a_problem_has_its_remedy(
    arguments: tuple[str, ...], check: str, remedy: str, tmp_path: Path
) -> None:
    model = str(save_toy_model(tmp_path / "m.xml", INSTANCES))
    code, found = doctor(*(model if a == "MODEL" else a for a in arguments))
    assert code == 1
    assert found[check]["status"] == "problem"
    assert remedy in found[check]["text"]


def test_without_json_each_check_is_a_line() -> None:
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    assert any(line.startswith("ok") and "CPU" in line for line in done.stdout.splitlines())


# --- Label Studio's clock


def stand_in(ahead_s: float | None) -> Answer:
    """/api/version/ of a Label Studio whose Date header is wrong by so much, or missing."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        body = b'{"release": "1.23.2"}'
        handler.send_response_only(200)
        if ahead_s is not None:
            date = formatdate(time.time() + ahead_s, usegmt=True)
            handler.send_header("Date", date)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


@pytest.mark.parametrize(
    ("ahead_s", "status", "text"),
    [
        (0, "ok", "within 1 s of Label Studio's"),
        (MAX_SKEW_S - 5, "ok", "of Label Studio's"),
        (400, "problem", "s ahead: set both machines' clocks (NTP)"),
        (-400, "problem", "s behind: set both machines' clocks (NTP)"),
        (None, "unchecked", "Label Studio does not say its time."),
    ],
)
def test_the_clock(ahead_s: float | None, status: str, text: str) -> None:
    with local_server() as server:
        server.routes["/api/version/"] = stand_in(ahead_s)
        _, found = doctor("--label-studio-url", server.url)
    assert found["label studio"]["status"] == "ok"
    assert found["clock"]["status"] == status
    assert text in found["clock"]["text"]


# --- Redis


def redis_line(monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[str, str]:
    monkeypatch.setenv("LABELVINO_REDIS_URL", url)
    code, found = doctor()
    line = found["redis"]
    assert code == (1 if line["status"] == "problem" else 0)
    return line["status"], line["text"]


def test_redis_is_not_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = doctor()
    assert found["redis"]["status"] == "ok"
    assert "in memory only (268,435,456 bytes)" in found["redis"]["text"]
    monkeypatch.setenv("LABELVINO_RESULT_CACHE", "false")
    monkeypatch.setenv("LABELVINO_REDIS_URL", "redis://127.0.0.1:9")
    _, found = doctor()
    assert "the result cache is off" in found["redis"]["text"]


@pytest.mark.parametrize(
    ("options", "status", "text"),
    [
        ((), "hint", "set maxmemory, with maxmemory-policy volatile-lru"),
        (("--maxmemory", "100mb"), "hint", "eviction noeviction: when it is full"),
        (("--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru"), "ok",
         "of 105 MB used, eviction volatile-lru"),
    ],
)  # fmt: skip
def test_redis_and_its_memory(
    options: tuple[str, ...],
    status: str,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path, *options)
    found = redis_line(monkeypatch, server.url)
    assert found[0] == status
    assert text in found[1]
    assert f"{server.url}, version " in found[1] and " ping " in found[1]
    assert server.client().keys() == []  # nothing is left behind
    server.kill()
    status, text = redis_line(monkeypatch, server.url)
    assert status == "problem"
    assert f"{server.url} does not answer" in text and "LABELVINO_REDIS_URL" in text


def test_redis_wants_a_password(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--requirepass", "opensesame")
    for url in (server.url, server.url.replace("//", "//:wrong-word@")):
        status, text = redis_line(monkeypatch, url)
        assert status == "problem"
        assert "does not accept user or password" in text and "wrong-word" not in text
    status, text = redis_line(monkeypatch, server.url.replace("//", "//:opensesame@"))
    assert status == "hint" and "opensesame" not in text
    server.kill()


def test_redis_that_only_follows_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--replicaof", "127.0.0.1 9")
    status, text = redis_line(monkeypatch, server.url)
    assert status == "problem" and "read-only replica" in text
    server.kill()


def test_an_address_of_redis_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = redis_line(monkeypatch, "localhost:6379")
    assert status == "problem" and "LABELVINO_REDIS_URL" in text
