"""The log of `labelvino serve`: its format, its ids, and what must never stand in it."""

from __future__ import annotations

import base64
import json
import re
import signal
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.serve_process import ServeProcess, serving
from tests.toy_model import save_toy_model
from tests.unit.labelstudio.local_server import LEGACY_TOKEN, LocalServer, local_server, send

CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="person"/></RectangleLabels></View>"""
PASSWORD, WEBHOOK_SECRET = "correct-horse-battery", "webhook-hush-hush"
SIGNATURE, ACCESS_TOKEN = "c0ffee5ecret51gnature", "eyJhbGciOiJIUzI1NiJ9.eyJ1IjoxfQ.c2lnbmVk"


def picture() -> bytes:
    out = BytesIO()
    noise = np.random.default_rng(3).integers(0, 255, (50, 100, 3), np.uint8)
    Image.fromarray(noise).save(out, "PNG")
    return out.getvalue()


PICTURE = picture()
PICTURE_TEXT = base64.b64encode(PICTURE).decode()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_toy_model(tmp_path / "toy.xml", [((10.0, 10.0, 30.0, 30.0), 0.9, 0)])


@pytest.fixture
def studio() -> Iterator[LocalServer]:
    """A Label Studio that has /data/ok.png, and one that breaks off."""

    def break_off(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    with local_server() as server:
        server.routes["/data/ok.png"] = send(body=PICTURE, kind="image/png")
        server.routes["/data/broken.png"] = break_off
        yield server


def use_everything(server: ServeProcess, studio: LocalServer) -> None:
    """Requests of every kind, with a secret wherever one can be."""
    client, auth = server.client, ("me", PASSWORD)
    signed = f"X-Amz-Signature={SIGNATURE}"
    urls = [
        "/data/ok.png", f"{studio.url}/data/ok.png?{signed}", "/data/broken.png",
        f"{studio.url}/data/none.png?{signed}", f"http://u:{PASSWORD}@10.0.0.1/x.png?{signed}",
        f"https://127.0.0.1:1/{SIGNATURE[:4]}.png?{signed}#{SIGNATURE}",
        f"data:image/png;base64,{PICTURE_TEXT}", f"data:image/png;base64,{PICTURE_TEXT[:-9]}!",
        PICTURE_TEXT, f"ftp://x/a.png?{signed}",
    ]  # fmt: skip
    tasks = [{"id": i, "data": {"image": url}} for i, url in enumerate(urls)]
    body = {
        "tasks": tasks, "label_config": CONFIG,
        "params": {"login": "me", "password": PASSWORD, "context": {"token": ACCESS_TOKEN}},
    }  # fmt: skip
    answer = client.post("/predict", json=body, auth=auth, headers={"X-Request-ID": "from-client"})
    assert answer.headers["X-Request-ID"] == "from-client"
    assert [bool(result) for result in answer.json()["results"]][:2] == [True, True]
    setup = {"schema": CONFIG, "access_token": ACCESS_TOKEN, "hostname": "http://ls"}
    assert client.post("/setup", json=setup, auth=auth).status_code == 200
    refused = client.post("/setup", json=setup, headers={"Authorization": f"Bearer {ACCESS_TOKEN}"})
    assert refused.status_code == 401
    assert client.post(f"/webhook?secret={WEBHOOK_SECRET}", json={}).status_code == 201
    assert client.get(f"/nothing/{SIGNATURE}?{signed}", auth=auth).status_code == 404
    assert client.get("/health", headers={"X-Request-ID": ACCESS_TOKEN * 3}).status_code == 200
    assert client.post("/predict", content=PICTURE, auth=auth).status_code == 422
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(f"{ACCESS_TOKEN} is not HTTP\r\n\r\n".encode())
        raw.recv(1000)


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_no_secret_and_no_image_is_logged(
    log_format: str, model: Path, studio: LocalServer
) -> None:
    environment = {
        "LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY_TOKEN,
        "BASIC_AUTH_USER": "me", "BASIC_AUTH_PASS": PASSWORD, "LOG_LEVEL": "DEBUG",
        "LABELVINO_WEBHOOK_SECRET": WEBHOOK_SECRET, "LABELVINO_LOG_FORMAT": log_format,
        "LABELVINO_FETCH_TIMEOUT": "5",
    }  # fmt: skip
    with serving(model, **environment) as server:
        use_everything(server, studio)
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0
    assert f"Token {LEGACY_TOKEN}" in studio.tokens("/data/ok.png")  # it was really used
    for secret in (LEGACY_TOKEN, PASSWORD, WEBHOOK_SECRET, SIGNATURE, ACCESS_TOKEN):
        assert secret not in server.log
        assert base64.b64encode(secret.encode()).decode() not in server.log
    pieces = {PICTURE_TEXT[i : i + 24] for i in range(0, len(PICTURE_TEXT) - 24, 8)}
    assert not [piece for piece in pieces if piece in server.log]
    assert "task 2: no prediction" in server.log
    assert "Invalid HTTP request received." in server.log  # uvicorn's own words
    assert "/predict 422" in server.log


def test_json_lines(model: Path) -> None:
    with serving(model, "--log-format", "json") as server:
        answer = server.client.post(
            "/predict",
            json={"tasks": [{"id": 5, "data": {"image": "ftp://x"}}], "label_config": CONFIG},
            headers={"X-Request-ID": "abc-1"},
        )
        made = server.client.post("/setup", json={}, headers={"X-Request-ID": "two words"})
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0
    assert answer.headers["X-Request-ID"] == "abc-1"
    identity = made.headers["X-Request-ID"]
    assert re.fullmatch("[0-9a-f]{16}", identity)
    lines = [json.loads(line) for line in server.lines]
    for line in lines:
        assert set(line) - {"exception"} == {"time", "level", "logger", "message", "request_id"}
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
    by_id = {line["message"]: line["request_id"] for line in lines}
    (failed,) = [line for line in lines if line["message"].startswith("task 5: no prediction")]
    assert failed["request_id"] == "abc-1"  # a thread of the pool said it
    assert {i for message, i in by_id.items() if message.startswith("POST /predict")} == {"abc-1"}
    assert {i for message, i in by_id.items() if message.startswith("POST /setup")} == {identity}
    assert by_id["stopped"] is None
    assert "uvicorn.error" in {line["logger"] for line in lines}


def test_an_error_at_the_start_is_a_json_line_too(model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        server = ServeProcess(
            ("--model", model, "--host", "127.0.0.1", "--log-format", "json", "--port", port), {}
        )
        assert server.ended() == 1
        server.close()
    (line,) = [json.loads(line) for line in server.lines]
    assert line["level"] == "ERROR" and f"cannot listen on 127.0.0.1:{port}" in line["message"]
