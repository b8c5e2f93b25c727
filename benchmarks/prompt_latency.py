"""How long a prompt takes over HTTP: known photo, closer look, first prompt on a photo.

    python -m benchmarks.prompt_latency MODEL.xml PHOTOS ANNOTATIONS.json [--every N]

Three real `labelvino serve` processes take turns photo by photo: one without result cache predicts
(the measure), one answers prompts with the result cache, one also with closer looks. The photos are
local files. A click at the innermost point of each object, as in benchmarks/prompts.py.
"""

from __future__ import annotations

import argparse
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from backend.labelstudio.config_writer import write_label_config
from backend.runtime.engine import Engine
from backend.runtime.image import decode_image
from backend.runtime.overlay import label_colours
from benchmarks.machine import describe
from benchmarks.prompts import drawn, targets
from benchmarks.ways import start_server

Table = dict[str, list[float]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--every", type=int, default=1, help="look at every so-many-th object")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    print(describe(), "", sep="\n")
    engine = Engine(given.model, device="CPU", precision=given.precision)
    labels = engine.contract.label_names
    config = write_label_config(labels, ("polygon",), label_colours(labels), smart_tools=("point",))
    wanted = sorted(targets(given.annotations, labels, given.every), key=lambda t: t.photo)
    root = {"LABELVINO_LOCAL_FILES_ROOT": str(given.photos.resolve())}
    known = root | {"LABELVINO_RESULT_CACHE": "true"}
    servers = [
        start_server(given.model, given.precision, **root),
        start_server(given.model, given.precision, **known, LABELVINO_CLOSER_LOOKS="false"),
        start_server(given.model, given.precision, **known),
    ]
    table: Table = {}
    try:
        for photo, objects in groupby(wanted, key=lambda t: t.photo):
            image = decode_image((given.photos / photo).read_bytes())
            prompts = [_request(photo, config, drawn("click", one)) for one in objects]
            _measure(engine, image, [client for _, client in servers], prompts, table)
    finally:
        for server, _ in servers:
            server.terminate()
        for server, _ in servers:
            server.wait(30)
    print(f"{len(wanted)} prompts on {len({one.photo for one in wanted})} photos", "", sep="\n")
    print("| | times | p50 | p95 | p99 |", "| --- | --- | --- | --- | --- |", sep="\n")
    for name, values in table.items():
        shown = " | ".join(f"{v:.1f} ms" for v in np.percentile(values, [50, 95, 99]))
        print(f"| {name} | {len(values)} | {shown} |")


def _measure(
    engine: Engine,
    image: Any,
    clients: list[httpx2.Client],
    prompts: list[dict[str, Any]],
    table: Table,
) -> None:
    plain, known, closer = clients
    bare = prompts[0] | {"params": {}}
    inference = []
    for prompt in prompts:
        began_s = time.perf_counter()
        engine.infer(image)
        inference.append((time.perf_counter() - began_s) * 1000)
        predicted = _ask(plain, bare)
        if prompt is prompts[0]:
            first = _ask(known, prompt)
            table.setdefault("first prompt on a photo", []).append(first)
            table.setdefault("... above a prediction", []).append(first - predicted)
            _ask(closer, bare)  # the photo is known from here on
        table.setdefault("a prediction", []).append(predicted)
        table.setdefault("a prompt, the photo known", []).append(_ask(known, prompt))
        looked, again = _ask(closer, prompt), _ask(closer, prompt)
        if looked - again > inference[-1] / 2:  # else the place was known, or there was no doubt
            table.setdefault("with a closer look", []).append(looked)
            table.setdefault("... above inference", []).append(looked - inference[-1])
        table.setdefault("... asked again", []).append(again)
    table.setdefault("inference alone", []).extend(inference)


def _request(photo: str, config: str, prompt: dict[str, Any]) -> dict[str, Any]:
    """As Label Studio sends it; the names are those of our own config."""
    prompt = prompt | {"from_name": "point"}
    task = {"id": 1, "data": {"image": f"/data/local-files/?d={photo}"}}
    return {
        "tasks": [task],
        "label_config": config,
        "params": {"context": {"result": [prompt]}},
    }


def _ask(client: httpx2.Client, body: dict[str, Any]) -> float:
    began_s = time.perf_counter()
    client.post("/predict", json=body).raise_for_status()
    return (time.perf_counter() - began_s) * 1000


if __name__ == "__main__":
    main()
