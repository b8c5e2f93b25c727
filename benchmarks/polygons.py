"""Points and overlap of polygons: this project's against Douglas-Peucker of OpenCV.

    python benchmarks/polygons.py MODEL.xml PHOTO_FOLDER

Overlap is intersection over union by pycocotools. All candidates draw the same masks, a photo at a
time, in turn; time is processor time.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from backend.runtime.coco_rle import encode_coco
from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.engine import Engine
from backend.runtime.image import decode_image
from backend.runtime.outlines import trace
from backend.runtime.polygons import PolygonDetail, polygons_of_all

Rings = list[np.ndarray]


def ours(overlap: float) -> Callable[[list[MaskCrop]], list[Rings]]:
    return lambda masks: polygons_of_all(masks, [PolygonDetail(overlap)] * len(masks))


def douglas_peucker(epsilon_px: float) -> Callable[[list[MaskCrop]], list[Rings]]:
    """The usual way: one tolerance for all, on exact outlines, without holes."""

    def draw(mask: MaskCrop) -> Rings:
        outlines = [part.outer.astype(np.float32)[:, np.newaxis] for part in trace(mask)]
        rings = [cv2.approxPolyDP(o, epsilon_px, closed=True).reshape(-1, 2) for o in outlines]
        return [ring for ring in rings if len(ring) >= 3]

    return lambda masks: [draw(mask) for mask in masks]


def overlap_of(rings: Rings, mask: MaskCrop, found: Detections) -> float:
    if not rings:
        return 0.0
    size = (found.height, found.width)
    drawn = coco_mask.merge(coco_mask.frPyObjects([r.ravel().tolist() for r in rings], *size))
    truth = encode_coco(mask, found.width, found.height)
    return float(coco_mask.iou([drawn], [truth], [0])[0][0])


def main() -> None:
    engine = Engine(sys.argv[1], precision="f32")
    photos = sorted(Path(sys.argv[2]).iterdir())
    found = [engine.detect(decode_image(p.read_bytes()), min_score=0.5) for p in photos]
    candidates = {f"labelvino {o:g}": ours(o) for o in (0.95, PolygonDetail().overlap, 0.97, 0.98)}
    candidates |= {f"Douglas-Peucker {e:g} px": douglas_peucker(e) for e in (1.0, 1.5, 2.0, 3.0)}
    overlaps: dict[str, list[float]] = {name: [] for name in candidates}
    points: dict[str, list[int]] = {name: [] for name in candidates}
    seconds = dict.fromkeys(candidates, 0.0)
    for detections in found:
        masks = [mask for mask in detections.masks or () if mask.area]
        for name, draw in candidates.items():
            start = time.thread_time()
            drawn = draw(masks)
            seconds[name] += time.thread_time() - start
            for mask, rings in zip(masks, drawn, strict=True):
                overlaps[name].append(overlap_of(rings, mask, detections))
                points[name] += [len(ring) for ring in rings]
    print("| outlines | overlap, mean | least | points, mean | most | ms an instance |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in candidates:
        o, n = np.array(overlaps[name]), np.array(points[name])
        time_ms = seconds[name] / len(o) * 1000
        print(
            f"| {name} | {o.mean():.4f} | {o.min():.3f} | {n.mean():.1f} | {n.max()} "
            f"| {time_ms:.2f} |"
        )
    print(f"\n{len(overlaps[next(iter(candidates))])} instances of {len(photos)} photos")


if __name__ == "__main__":
    main()
