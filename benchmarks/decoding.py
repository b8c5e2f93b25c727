"""100 instances of a 4000x3000 photo, from raw masks to regions: time and memory.

    python -m benchmarks.decoding [--rounds N] [--chart FILE.svg]

Needs `make env-peers`. The instances are drawn from a seed: boxes of 150 to 1200 pixels a side,
masks of 28x28 cells with a wavy border. `of full frames` is how the peers keep all masks at once.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson

from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import ControlKind, parse_label_config
from backend.labelstudio.region_plan import Thresholds, plan_regions
from backend.labelstudio.regions import RegionOptions, build_regions
from backend.runtime.candidates import Candidates
from backend.runtime.masks import cut_mask
from backend.runtime.resize import ResizeGeometry
from benchmarks.candidate import Candidate, answer_rounds
from benchmarks.chart import write_bars
from benchmarks.contest import Result, hold
from benchmarks.instances import HEIGHT, INSTANCES, WIDTH, instances
from benchmarks.machine import describe

PEERS = Path(".cache/envs/peers/bin/python")
OURS = ("labelvino, polygons", "labelvino, brush")
CANDIDATES = {
    "labelvino, polygons": (sys.executable, "decoding", "polygon"),
    "labelvino, brush": (sys.executable, "decoding", "brush"),
    "openvino-model-api, polygons": (PEERS, "decoding_peers", "model-api"),
    "supervision, compact, polygons": (PEERS, "decoding_peers", "supervision"),
    "OpenVINO notebook, polygons": (PEERS, "decoding_peers", "notebook"),
    "CVAT function, polygons": (PEERS, "decoding_peers", "cvat"),
    "LS YOLO example, brush": (PEERS, "decoding_peers", "yolo-example"),
}


def main() -> None:
    arguments = _arguments()
    if arguments.candidate is not None:
        answer_rounds(decode_here(arguments.candidate))
        return
    about = describe()
    candidates = [
        Candidate(name, [python, f"benchmarks/{file}.py", "--candidate", way])
        for name, (python, file, way) in CANDIDATES.items()
        if not arguments.leave_out or not any(part in name for part in arguments.leave_out)
    ]
    idle_mb = {c.name: c.round(0).peak_mb for c in candidates}
    results = hold(candidates, arguments.rounds, arguments.instances, warm=False)
    for candidate in candidates:
        candidate.close()
    print(about, "", _table(results, idle_mb, arguments.instances), "", sep="\n")
    if arguments.chart is not None:
        bars = []
        for result in results:
            seconds = sorted(r.seconds for r in result.rounds)
            bars.append((result.name, statistics.median(seconds), seconds[0], seconds[-1]))
        title = f"Seconds for {arguments.instances} instances at {WIDTH}x{HEIGHT}"
        write_bars(arguments.chart, title, bars, " s")


def _table(results: list[Result], idle_mb: dict[str, float], instances: int) -> str:
    lines = [
        f"{instances} instances",
        "",
        "| | s, median (range) | ms of processor an instance | labelvino is faster by "
        "| memory over idle |",
        "| --- | --- | --- | --- | --- |",
    ]
    ours = {name: result for result in results for name in OURS if result.name == name}
    for result in results:
        mine = ours[OURS[result.name.endswith("brush")]]
        seconds = sorted(r.seconds for r in result.rounds)
        factor = statistics.median(
            b.seconds / a.seconds for a, b in zip(mine.rounds, result.rounds, strict=True)
        )
        memory = max(r.peak_mb for r in result.rounds) - idle_mb[result.name]
        lines.append(
            f"| {result.name} | {statistics.median(seconds):.2f} ({seconds[0]:.2f}-"
            f"{seconds[-1]:.2f}) | {result.processor_ms:.1f} | {factor:.1f} "
            f"| {memory:.0f} MB |"
        )
    return "\n".join(lines)


def decode_here(control: ControlKind) -> Callable[[int], str]:
    """This project's decoding: raw outputs to regions as JSON."""
    boxes, masks = instances()
    geometry = ResizeGeometry(WIDTH, HEIGHT, 1067, 800, 1067, 800)
    xml = write_label_config(("thing",), (control,), ((255, 0, 0),))
    plan = plan_regions(
        parse_label_config(xml),
        "image",
        ("thing",),
        has_masks=True,
        thresholds=Thresholds(model=0.5),
    )
    options = RegionOptions(max_brush_regions=INSTANCES)

    def do(count: int) -> str:
        if not count:
            return ""
        shown = boxes[:count].copy()
        cells = tuple(
            cut_mask(mask.copy(), box, geometry, "box")
            for mask, box in zip(masks[:count], shown, strict=True)
        )
        scores, labels = np.full(count, 0.9, np.float32), np.zeros(count, np.int64)
        found = Candidates(geometry, "box", shown, scores, labels, cells, 0.0, INSTANCES)
        regions = build_regions(found.detections(0.0, INSTANCES), plan, "image", options).regions
        return f"{len(regions)} regions, {len(orjson.dumps(regions))} bytes"

    return do


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--instances", type=int, default=INSTANCES, help="the first ones")
    parser.add_argument("--leave-out", nargs="*", help="parts of candidates' names")
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--candidate", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
