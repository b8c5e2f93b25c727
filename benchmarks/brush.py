"""Brush masks: this project's encoder against Label Studio's SDK, byte by byte.

    python -m benchmarks.brush [--rounds N]

Needs `make env-peers`. Smooth and ragged masks in crops of 0.3 of each side, at 640x480 and
4000x3000; the SDK gets the full frame, as it wants it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.candidate import Candidate, answer_rounds
from benchmarks.chart import write_bars
from benchmarks.contest import hold
from benchmarks.machine import describe

PEERS = Path(".cache/envs/peers/bin/python")
CASES = {
    "640x480, smooth": (640, 480, 0),
    "640x480, ragged": (640, 480, 1),
    "4000x3000, smooth": (4000, 3000, 0),
    "4000x3000, ragged": (4000, 3000, 1),
}


def crop(width: int, height: int, ragged: int) -> tuple[int, int, np.ndarray]:
    """Place and pixels of a mask: an ellipse, or one whose pixels are half noise."""
    w, h = int(width * 0.3), int(height * 0.3)
    ys, xs = np.mgrid[:h, :w]
    pixels = ((xs - w / 2) / (w / 2)) ** 2 + ((ys - h / 2) / (h / 2)) ** 2 < 1
    if ragged:
        pixels &= np.random.default_rng(1).random((h, w)) < 0.9
    return width // 3, height // 4, pixels


def ours(case: str) -> Callable[[int], str]:
    from backend.labelstudio.brush_rle import encode_brush
    from backend.runtime.detections import MaskCrop

    width, height, ragged = CASES[case]
    x, y, pixels = crop(width, height, ragged)

    def do(count: int) -> str:
        for _ in range(count):
            rle = encode_brush(MaskCrop(x, y, pixels), width, height)
        return _digest(rle)

    return do


def sdk(case: str) -> Callable[[int], str]:
    from label_studio_sdk.converter.brush import mask2rle

    width, height, ragged = CASES[case]
    x, y, pixels = crop(width, height, ragged)
    frame = np.zeros((height, width), np.uint8)
    frame[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels * np.uint8(255)

    def do(count: int) -> str:
        for _ in range(count):
            rle = mask2rle(frame)
        return _digest(rle)

    return do


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--candidate", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.candidate is not None:
        who, case = arguments.candidate
        answer_rounds({"ours": ours, "sdk": sdk}[who](case))
        return
    print(describe(), "", sep="\n")
    print("| mask | labelvino | SDK | faster by (range) | bytes |")
    print("| --- | --- | --- | --- | --- |")
    bars = []
    for case in CASES:
        pair = [
            Candidate(who, [python, "benchmarks/brush.py", "--candidate", who, case])
            for who, python in (("ours", sys.executable), ("sdk", PEERS))
        ]
        mine, theirs = hold(pair, arguments.rounds, 1)
        for candidate in pair:
            candidate.close()
        factors = [1 / ratio for ratio in reversed(theirs.ratios(mine))]
        bars.append((case, float(np.median(factors)), factors[0], factors[-1]))
        (size, digest), other = json.loads(mine.rounds[0].note), theirs.rounds[0].note
        if json.loads(other) != [size, digest]:
            sys.exit(f"{case}: the bytes differ")
        print(
            f"| {case} | {mine.processor_ms:.1f} ms | {theirs.processor_ms:.0f} ms "
            f"| {np.median(factors):.0f} ({factors[0]:.0f}-{factors[-1]:.0f}) | {size}, equal |"
        )
    if arguments.chart is not None:
        title = "Brush masks: faster than the SDK's encoder by"
        write_bars(arguments.chart, title, bars, ours="")


def _digest(rle: list[int]) -> str:
    return json.dumps([len(rle), hashlib.sha256(bytes(rle)).hexdigest()])


if __name__ == "__main__":
    main()
