"""This project's ways through the pipeline, and inference alone, as candidates.

    python benchmarks/ways.py WAY MODEL.xml PHOTOS SETTINGS

`WAY`: bulk (many tasks through the predictor and its pool), http (`labelvino serve`, one request
of many tasks), pure (asynchronous inference of inputs that are ready). SETTINGS: JSON with
`precision` and `control`.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import orjson

from backend.fair_pool import FairPool
from backend.labelstudio.config_writer import write_label_config
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.engine import Engine
from backend.runtime.image import decode_image
from backend.runtime.overlay import label_colours
from backend.runtime.resize import resize_image
from benchmarks.candidate import answer_rounds

Way = tuple[Callable[[int], str], tuple[int, ...]]
"""What does a round, and the processes that do its work besides this one."""
THREADS = 4  # what `labelvino prelabel` and `labelvino serve` have by default


def main() -> None:
    way, model, folder, settings = sys.argv[1:5]
    photos = sorted(Path(folder).iterdir())
    answer_rounds(*WAYS[way](model, photos, json.loads(settings)))


class Files:
    """An image source whose addresses are paths."""

    def fetch(
        self,
        url: str,
        *,
        task_id: int | None = None,  # noqa: ARG002
        deadline: float | None = None,  # noqa: ARG002
    ) -> bytes:
        return Path(url).read_bytes()


def bulk(model: str, photos: list[Path], settings: dict[str, Any]) -> Way:
    engine = Engine(model, device="CPU", precision=settings["precision"], throughput=True)
    config = _config(engine, settings["control"])
    predictor = Predictor(engine, Files(), PredictorOptions(), FairPool(THREADS))

    def do(count: int) -> str:
        tasks = [{"id": i, "data": {"image": str(photos[i % len(photos)])}} for i in range(count)]
        done = [o.prediction for o in predictor.predict_tasks(tasks, config)]
        written = orjson.dumps([p.to_json() for p in done if p is not None])
        regions = sum(len(p.result) for p in done if p is not None)
        return f"{regions} regions, {len(written)} bytes"

    return do, ()


def http(model: str, photos: list[Path], settings: dict[str, Any]) -> Way:
    config = _config(Engine(model, device="CPU"), settings["control"])
    server, client = start_server(model, settings["precision"])
    addresses = [
        "data:image/jpeg;base64," + base64.b64encode(p.read_bytes()).decode() for p in photos
    ]

    def do(count: int) -> str:
        tasks = [{"id": i, "data": {"image": addresses[i % len(addresses)]}} for i in range(count)]
        answer = client.post("/predict", json={"tasks": tasks, "label_config": config})
        answer.raise_for_status()
        regions = sum(len(result["result"]) for result in answer.json()["results"])
        if not all(answer.json()["results"]):
            raise RuntimeError("a task has no prediction")
        return f"{regions} regions"

    return do, (server.pid,)


def pure(model: str, photos: list[Path], settings: dict[str, Any]) -> Way:
    engine = Engine(model, device="CPU", precision=settings["precision"], throughput=True)
    shown = photos[: settings.get("inputs", 16)]
    inputs = [
        resize_image(
            decode_image(p.read_bytes(), needed=engine.needed_size), engine.contract.resize
        )[0]
        for p in shown
    ]
    idle: queue.SimpleQueue[Any] = queue.SimpleQueue()
    for _ in range(engine.requests):
        request = engine.compiled.create_infer_request()
        request.infer({"image": inputs[0]})
        request.set_callback(idle.put, request)
        idle.put(request)

    def do(count: int) -> str:
        for i in range(count):
            idle.get().start_async({"image": inputs[i % len(inputs)]}, share_inputs=True)
        requests = [idle.get() for _ in range(engine.requests)]
        for request in requests:
            request.wait()
            idle.put(request)
        return f"{engine.requests} requests"

    return do, ()


def start_server(
    model: str, precision: str, **settings: str
) -> tuple[subprocess.Popen[bytes], httpx2.Client]:
    """`labelvino serve` without result cache unless `settings` say so, ended with this process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = (
        "import os, sys, threading; "
        "threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start(); "
        "from backend.cli import main; main()"
    )
    options = ["--model", model, "--port", str(port), "--precision", precision, "--device", "CPU"]
    server = subprocess.Popen(  # noqa: S603
        [sys.executable, "-c", start, "serve", *options],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ
        | {"LABELVINO_RESULT_CACHE": "false", "LABELVINO_PREDICT_BUDGET": "3600"}
        | settings,
    )
    client = httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=3600)
    deadline = time.monotonic() + 120
    while True:
        try:
            client.get("/health").raise_for_status()
        except httpx2.TransportError:
            if time.monotonic() > deadline or server.poll() is not None:
                raise
            time.sleep(0.1)
        else:
            return server, client


def _config(engine: Engine, control: str) -> str:
    names = engine.contract.label_names
    return write_label_config(names, (control,), label_colours(names))  # type: ignore[arg-type]


WAYS = {"bulk": bulk, "http": http, "pure": pure}

if __name__ == "__main__":
    main()
