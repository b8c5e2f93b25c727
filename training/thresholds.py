"""What the shipped model finds, invents and misses at several thresholds, and how long it takes.

`PYTHONPATH=. .venv/bin/python training/thresholds.py`; runs in the development environment, on
held-out scenes of the demo's size.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, Scene, draw_scene
from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.engine import Engine, Precision
from backend.runtime.image import decode_image

SCENES = 60
FIRST_SEED = FIRST_UNSEEN_SEED + 500  # apart from those of the tests
PRECISIONS: tuple[Precision, ...] = ("f32", "auto")
THRESHOLDS = (0.3, 0.4, 0.5)
LEAST_IOU = 0.5


@dataclass
class Count:
    """`ious` of those found."""

    ious: list[float]
    wrong: int = 0
    missed: int = 0


def main() -> None:
    scenes = [draw_scene(FIRST_SEED + k) for k in range(SCENES)]
    images = [decode_image(encode_jpeg(scene)) for scene in scenes]
    for precision in PRECISIONS:
        engine = Engine(MODEL_PATH, device="CPU", precision=precision)
        ids = [label.id for label in engine.contract.labels]
        for image in images[:5]:
            engine.infer(image)
        times, found = [], []
        for image in images:
            began = time.perf_counter()
            engine.infer(image)
            times.append(time.perf_counter() - began)
            found.append(engine.detect(image))
        print(f"{engine.precision}: {1000 * float(np.median(times)):.1f} ms a picture (median)")
        for threshold in THRESHOLDS:
            count = Count([])
            for scene, detections in zip(scenes, found, strict=True):
                compare(scene, detections, ids, threshold, count)
            print(
                f"  {threshold}: {len(count.ious)} found with mean IoU {np.mean(count.ious):.3f}, "
                f"{count.wrong} wrong, {count.missed} missed"
            )


def compare(
    scene: Scene, found: Detections, ids: list[int], threshold: float, count: Count
) -> None:
    """Give each detection, best first, the free instance of its category that it covers best."""
    free = list(scene.instances)
    for i in np.flatnonzero(found.scores >= threshold):
        mask = full_frame(found.masks[i], scene.pixels.shape[:2])
        same = [x for x in free if x.category_id == ids[found.labels[i]]]
        best = max(same, key=lambda x: iou(mask, x.mask), default=None)
        if best is None or iou(mask, best.mask) < LEAST_IOU:
            count.wrong += 1
        else:
            count.ious.append(iou(mask, best.mask))
            free.remove(best)
    count.missed += len(free)


def full_frame(crop: MaskCrop, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    frame = np.zeros(shape, np.bool_)
    rows, columns = crop.pixels.shape
    frame[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
    return frame


def iou(one: npt.NDArray[np.bool_], other: npt.NDArray[np.bool_]) -> float:
    return float((one & other).sum() / (one | other).sum())


if __name__ == "__main__":
    main()
