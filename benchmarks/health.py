"""How fast the server answers /health, and one task, while it is busy.

    python -m benchmarks.health MODEL.xml PHOTO_FOLDER

A real `labelvino serve` process; the photos go along as data: URIs, so that nothing is fetched.
"""

from __future__ import annotations

import base64
import sys
import threading
import time
from pathlib import Path

import httpx2
import numpy as np

from benchmarks.ways import start_server

CONFIG = """<View><Image name="image" value="$image"/><PolygonLabels name="p" toName="image">
<Label value="person"/><Label value="car"/><Label value="chair"/></PolygonLabels></View>"""
ROUNDS_S = 15.0


def main() -> None:
    model, folder = sys.argv[1:3]
    tasks = [
        {"id": i, "data": {"image": "data:image/jpeg;base64," + base64.b64encode(d).decode()}}
        for i, d in enumerate(path.read_bytes() for path in sorted(Path(folder).iterdir()))
    ]
    server, client = start_server(model, "auto")
    try:
        print("| parallel /predict | /health p50 | p99 | most | tasks/s |")
        print("| --- | --- | --- | --- | --- |")
        for parallel in (0, 1, 4, 16):
            waits, rate = _measure(client, tasks, parallel)
            p50, p99 = np.percentile(waits, [50, 99])
            print(
                f"| {parallel} | {p50:.1f} ms | {p99:.1f} ms | {max(waits):.1f} ms | {rate:.1f} |"
            )
    finally:
        server.terminate()
        server.wait(30)


def _measure(
    client: httpx2.Client, tasks: list[dict[str, object]], parallel: int
) -> tuple[list[float], float]:
    """Milliseconds of each /health, and tasks a second, with `parallel` requests running."""
    stop = threading.Event()
    done = [0] * max(1, parallel)

    def predict(slot: int) -> None:
        at = slot
        while not stop.is_set():
            chunk = [tasks[(at + k) % len(tasks)] for k in range(5)]
            client.post("/predict", json={"tasks": chunk, "label_config": CONFIG})
            done[slot] += len(chunk)
            at += 5

    threads = [threading.Thread(target=predict, args=(slot,)) for slot in range(parallel)]
    for thread in threads:
        thread.start()
    waits = []
    start = time.monotonic()
    while time.monotonic() - start < ROUNDS_S:
        asked = time.perf_counter()
        client.get("/health").raise_for_status()
        waits.append((time.perf_counter() - asked) * 1000)
        time.sleep(0.02)
    stop.set()
    for thread in threads:
        thread.join()
    return waits, sum(done) / (time.monotonic() - start)


if __name__ == "__main__":
    main()
