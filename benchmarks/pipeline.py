"""Images a second from file to regions: this project, its peers, and inference alone.

    python -m benchmarks.pipeline MODEL.xml PHOTOS [--count N] [--rounds N] [--precision P]
        [--title TEXT --chart FILE.svg]

Needs `make env-peers`. All candidates run the same IR in turn, each in a process of its own. The
model's input must be resized by the contract's rule `shortest-edge`, as the peers do it here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from backend.runtime.engine import load_contract
from benchmarks.candidate import Candidate
from benchmarks.chart import write_bars
from benchmarks.contest import hold, table
from benchmarks.machine import describe

PEERS = Path(".cache/envs/peers/bin/python")
PURE = "inference alone"
CANDIDATES = {
    PURE: ("ways", "pure", "polygon"),
    "labelvino, bulk": ("ways", "bulk", "polygon"),
    "labelvino, bulk, brush": ("ways", "bulk", "brush"),
    "labelvino, /predict": ("ways", "http", "polygon"),
    "openvino-model-api": ("peers", "model-api", "polygon"),
    "supervision, compact masks": ("peers", "supervision", "polygon"),
    "OpenVINO notebook": ("peers", "notebook", "polygon"),
    "LS YOLO example, brush": ("peers", "yolo-example", "brush"),
    "CVAT function": ("peers", "cvat", "polygon"),
}


def main() -> None:
    arguments = _arguments()
    rule = load_contract(arguments.model).resize
    if rule.kind != "shortest-edge":
        sys.exit(f"{arguments.model} resizes by '{rule.kind}', not 'shortest-edge'.")
    print(describe(), file=sys.stderr)
    about = describe()
    candidates = []
    for name, (file, way, control) in CANDIDATES.items():
        if arguments.only and not any(part in name for part in [PURE, *arguments.only]):
            continue
        settings = json.dumps(
            {
                "precision": arguments.precision,
                "control": control,
                "short": rule.short,
                "long": rule.long,
                "inputs": min(arguments.count, 16),
            }
        )
        python = sys.executable if file == "ways" else str(PEERS)
        command = [python, f"benchmarks/{file}.py", way, arguments.model, arguments.photos]
        candidates.append(Candidate(name, [*command, settings]))
    results = hold(candidates, arguments.rounds, arguments.count)
    for candidate in candidates:
        candidate.close()
    print(about, "", table(results, results[0], "image"), "", sep="\n")
    for result in results:
        print(f"{result.name}: {result.rounds[-1].note}", file=sys.stderr)
    if arguments.chart is not None:
        bars = []
        for result in results:
            ratios = result.ratios(results[0])
            bars.append((result.name, statistics.median(ratios), ratios[0], ratios[-1]))
        write_bars(arguments.chart, arguments.title, bars, limit=PURE)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--count", type=int, default=24, help="images a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--only", nargs="*", help="parts of candidates' names")
    parser.add_argument("--title", default="Images a second, as a share of inference alone")
    parser.add_argument("--chart", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
