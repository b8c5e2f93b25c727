"""Polygons of large masks: drawn in squares of several pixels, and pixel by pixel.

    python -m benchmarks.sketches MODEL.xml PHOTOS [--long-side PX]

What the model finds in each photo is taken for a photo of the same content whose long side has so
many pixels (4000). Overlap is intersection over union with the mask, pixel by pixel, by
pycocotools; time is processor time from raw masks to polygons, pasting included.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from backend.runtime.candidates import Candidates
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, select
from backend.runtime.image import decode_image
from backend.runtime.polygons import PolygonDetail, polygons_of_all
from backend.runtime.sketches import polygons_of
from benchmarks.machine import describe
from benchmarks.polygons import overlap_of

OVERLAPS = (0.9, PolygonDetail().overlap, 0.98, 0.99)
Draw = Callable[[Detections, PolygonDetail], list[list[np.ndarray]]]


def pixel_by_pixel(found: Detections, detail: PolygonDetail) -> list[list[np.ndarray]]:
    return polygons_of_all(list(found.masks or ()), [detail] * len(found))


def sketched(found: Detections, detail: PolygonDetail) -> list[list[np.ndarray]]:
    return polygons_of(found.masks or (), range(len(found)), [detail] * len(found))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--long-side", type=int, default=4000)
    arguments = parser.parse_args()
    print(describe(), "", sep="\n")
    engine = Engine(arguments.model, device="CPU", precision="f32")
    photos = sorted(arguments.photos.iterdir())
    found = [enlarged(engine, photo, arguments.long_side) for photo in photos]
    print("| wanted overlap | drawn | mean | least | below | points, mean | ms an instance |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for wanted in OVERLAPS:
        for name, draw in (("pixel by pixel", pixel_by_pixel), ("in squares", sketched)):
            print(f"| {wanted:g} | {name} | {_measured(found, draw, PolygonDetail(wanted))} |")
    print(f"\n{sum(map(len, found))} instances of {len(photos)} photos")


def enlarged(engine: Engine, photo: Path, long_side: int) -> Candidates:
    image = decode_image(photo.read_bytes())
    raw, geometry = engine.infer(image)
    scale = long_side / max(image.width, image.height)
    width, height = round(image.width * scale), round(image.height * scale)
    large = replace(geometry, image_width=width, image_height=height)
    return select(raw, large, engine.contract, 0.5, 100)


def _measured(photos: list[Candidates], draw: Draw, detail: PolygonDetail) -> str:
    overlaps, points, seconds = [], [], 0.0
    for candidates in photos:
        found = candidates.detections(0.5, 100)
        start = time.thread_time()
        drawn = draw(found, detail)
        seconds += time.thread_time() - start
        for rings, mask in zip(drawn, found.masks or (), strict=True):
            overlaps.append(overlap_of(rings, mask, found))
            points += [len(ring) for ring in rings]
    o = np.array(overlaps)
    below = int(np.count_nonzero(o < detail.overlap))
    return (
        f"{o.mean():.4f} | {o.min():.4f} | {below} | {np.mean(points):.1f} "
        f"| {seconds / len(o) * 1000:.2f}"
    )


if __name__ == "__main__":
    main()
