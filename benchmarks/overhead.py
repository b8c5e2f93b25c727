"""What `/predict` adds to inference for one task, and how long it takes when many ask at once.

    python -m benchmarks.overhead MODEL.xml PHOTOS [--seconds S] [--precision P]

A real `labelvino serve` process without result cache; photos go along as data: URIs. `above
inference`: /predict of one task less the same engine's inference of the same photo, in turn.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import httpx2
import numpy as np
import orjson

from backend.labelstudio.config_writer import write_label_config
from backend.runtime.engine import Engine
from backend.runtime.image import decode_image
from backend.runtime.overlay import label_colours
from benchmarks.chart import Bar, write_bars
from benchmarks.machine import describe
from benchmarks.ways import start_server

PAUSE_S = 0.03


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--chart", type=Path)
    arguments = parser.parse_args()
    print(describe(), "", sep="\n")
    engine = Engine(arguments.model, device="CPU", precision=arguments.precision)
    names = engine.contract.label_names
    config = write_label_config(names, ("polygon",), label_colours(names))
    photos = [path.read_bytes() for path in sorted(arguments.photos.iterdir())]
    # Written before the clock starts, since that is the work of whoever asks.
    bodies = [
        orjson.dumps(
            {
                "tasks": [{"id": 1, "data": {"image": "data:image/jpeg;base64," + text}}],
                "label_config": config,
            }
        )
        for text in (base64.b64encode(photo).decode() for photo in photos)
    ]
    server, client = start_server(arguments.model, arguments.precision)
    try:
        bars = _alone(engine, client, photos, bodies)
        print("\n| parallel | /predict p50 | p95 | p99 | /health p50 | p99 | tasks/s |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for parallel in (1, 4, 16):
            bars += _busy(client, bodies, parallel, arguments.seconds)
    finally:
        server.terminate()
        server.wait(30)
    if arguments.chart is not None:
        title = "Milliseconds for one task: median, and up to where 95 of 100 are"
        write_bars(arguments.chart, title, bars, " ms", ours="/predict", limit="inference")


def _alone(
    engine: Engine, client: httpx2.Client, photos: list[bytes], bodies: list[bytes]
) -> list[Bar]:
    above, inference, whole = [], [], []
    # Python's own client, since it takes the least time itself.
    connection = http.client.HTTPConnection(client.base_url.host, client.base_url.port)
    for turn in range(2):
        for photo, body in zip(photos, bodies, strict=True):
            image = decode_image(photo)
            inferred_ms = _timed(partial(engine.infer, image))
            answered_ms = _timed(partial(_post, connection, body))
            if turn:
                inference.append(inferred_ms)
                whole.append(answered_ms)
                above.append(answered_ms - inferred_ms)
    print("| one task, alone | p50 | p95 | p99 |")
    print("| --- | --- | --- | --- |")
    for name, values in (
        ("inference", inference),
        ("/predict", whole),
        ("above inference", above),
    ):
        shown = " | ".join(f"{v:.1f} ms" for v in np.percentile(values, [50, 95, 99]))
        print(f"| {name} | {shown} |")
    return [_bar("inference", inference), _bar("/predict, alone", whole)]


def _bar(name: str, values: list[float]) -> Bar:
    p50, p95 = np.percentile(values, [50, 95])
    return name, float(p50), float(p50), float(p95)


def _ask(client: httpx2.Client, body: bytes) -> None:
    client.post("/predict", content=body).raise_for_status()


def _post(connection: http.client.HTTPConnection, body: bytes) -> None:
    connection.request("POST", "/predict", body)
    answer = connection.getresponse()
    text = answer.read()
    if answer.status != 200:
        raise RuntimeError(text.decode())


def _timed(do: Callable[[], object]) -> float:
    """Milliseconds, after a pause in which the threads of whoever was before have gone to sleep."""
    time.sleep(PAUSE_S)
    began_s = time.perf_counter()
    do()
    return (time.perf_counter() - began_s) * 1000


def _busy(client: httpx2.Client, bodies: list[bytes], parallel: int, seconds: float) -> list[Bar]:
    stop, waits, health = threading.Event(), [], []

    def ask(slot: int) -> None:
        at = slot
        while not stop.is_set():
            began_s = time.perf_counter()
            _ask(client, bodies[at % len(bodies)])
            waits.append((time.perf_counter() - began_s) * 1000)
            at += parallel

    threads = [threading.Thread(target=ask, args=(slot,)) for slot in range(parallel)]
    for thread in threads:
        thread.start()
    began_s = time.monotonic()
    while time.monotonic() - began_s < seconds:
        asked_s = time.perf_counter()
        client.get("/health").raise_for_status()
        health.append((time.perf_counter() - asked_s) * 1000)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    rate = len(waits) / (time.monotonic() - began_s)
    of_predict = " | ".join(f"{v:.0f} ms" for v in np.percentile(waits, [50, 95, 99]))
    of_health = " | ".join(f"{v:.1f} ms" for v in np.percentile(health, [50, 99]))
    print(f"| {parallel} | {of_predict} | {of_health} | {rate:.1f} |")
    return [
        _bar(f"/predict, {parallel} at once", waits),
        _bar(f"/health beside {parallel}", health),
    ]


if __name__ == "__main__":
    main()
