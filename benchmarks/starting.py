"""How long `labelvino serve` takes to answer, cold and with its model cache, and its memory.

    python -m benchmarks.starting MODEL.xml PHOTO [--rounds N]

From the start of the process to the first /health; then a /predict of one task, and of eight at
once, after which the process has compiled for many images too.
"""

from __future__ import annotations

import argparse
import base64
import os
import statistics
import tempfile
import time
from pathlib import Path

from backend.labelstudio.config_writer import write_label_config
from backend.runtime.engine import load_contract
from backend.runtime.overlay import label_colours
from benchmarks.chart import write_bars
from benchmarks.machine import describe
from benchmarks.ways import start_server


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("photo", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--chart", type=Path)
    arguments = parser.parse_args()
    print(describe(), "", sep="\n")
    names = load_contract(arguments.model).label_names
    config = write_label_config(names, ("polygon",), label_colours(names))
    address = "data:image/jpeg;base64," + base64.b64encode(arguments.photo.read_bytes()).decode()
    starts: dict[str, list[float]] = {"without model cache": [], "with model cache": []}
    memory: dict[str, list[float]] = {"started": [], "after one task": [], "after eight": []}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(arguments.rounds + 1):  # the first fills the cache, and warms the disk
            for name, cache in zip(starts, ("off", folder), strict=True):
                os.environ["LABELVINO_MODEL_CACHE"] = cache
                began_s = time.monotonic()
                server, client = start_server(arguments.model, "auto")
                took_s = time.monotonic() - began_s
                seen = [_memory_mb(server.pid)]
                for count in (1, 8):
                    tasks = [{"id": i, "data": {"image": address}} for i in range(count)]
                    body = {"tasks": tasks, "label_config": config}
                    client.post("/predict", json=body).raise_for_status()
                    seen.append(_memory_mb(server.pid))
                server.terminate()
                server.wait(30)
                if number:
                    starts[name].append(took_s)
                    for moment, value in zip(memory, seen, strict=True):
                        memory[moment].append(value)
    print("| start | s, median (range) |\n| --- | --- |")
    for name, values in starts.items():
        print(f"| {name} | {statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f}) |")
    print("\n| memory of the process | MB |\n| --- | --- |")
    for name, values in memory.items():
        print(f"| {name} | {statistics.median(values):.0f} |")
    if arguments.chart is not None:
        bars = [(n, statistics.median(v), min(v), max(v)) for n, v in starts.items()]
        write_bars(arguments.chart, "Seconds until labelvino serve answers", bars, " s", ours="")


def _memory_mb(process_id: int) -> float:
    pages = int(Path(f"/proc/{process_id}/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
