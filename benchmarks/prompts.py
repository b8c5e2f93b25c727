"""How well a click or a box finds the object that is meant, with and without a closer look.

An oracle user points at each annotated object of COCO-like photos: a click at its innermost point,
a click anywhere within it, a box a tenth too large, each with the object's label. What comes back
goes all the way through the predictor and Label Studio's regions.

    python -m benchmarks.prompts MODEL.xml PHOTOS ANNOTATIONS.json [--every N]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO

from backend.address_memory import AddressMemory
from backend.fair_pool import FairPool
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.region_masks import region_mask
from backend.memory_store import MemoryStore
from backend.predictor import Predictor, PredictorOptions
from backend.result_cache import ResultCache
from backend.runtime.engine import Engine
from backend.runtime.overlay import label_colours

Mask = npt.NDArray[np.bool_]
SMALL_PX = 32 * 32
BOX_MARGIN = 0.05  # on each side


@dataclass(frozen=True)
class Target:
    """One annotated object."""

    photo: str
    label: str
    mask: Mask
    box: tuple[float, float, float, float]
    seed: int

    @property
    def inner(self) -> tuple[float, float]:
        depth = cv2.distanceTransform(np.pad(self.mask.astype(np.uint8), 1), cv2.DIST_L2, 5)
        row, column = np.unravel_index(depth[1:-1, 1:-1].argmax(), self.mask.shape)
        return column + 0.5, row + 0.5

    @property
    def anywhere(self) -> tuple[float, float]:
        rows, columns = np.nonzero(self.mask)
        i = np.random.default_rng(self.seed).integers(len(rows))
        return columns[i] + 0.5, rows[i] + 0.5


class Folder:
    """Photos by name."""

    def __init__(self, folder: Path) -> None:
        self._paths = {path.name: path for path in folder.rglob("*.jpg")}

    def fetch(
        self,
        url: str,
        *,
        task_id: int | None = None,  # noqa: ARG002
        deadline: float | None = None,  # noqa: ARG002
    ) -> bytes:
        return self._paths[url].read_bytes()


def targets(annotations: Path, labels: Sequence[str], every: int) -> Iterator[Target]:
    coco = COCO(str(annotations))
    names = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    for number, annotation in enumerate(coco.dataset["annotations"]):
        mask = coco.annToMask(annotation).astype(bool)
        usable = not annotation["iscrowd"] and mask.any()
        if number % every or not usable or names[annotation["category_id"]] not in labels:
            continue
        x, y, w, h = annotation["bbox"]
        photo = coco.loadImgs(annotation["image_id"])[0]["file_name"]
        label = names[annotation["category_id"]]
        yield Target(photo, label, mask, (x, y, x + w, y + h), int(annotation["id"]))


def drawn(kind: str, target: Target) -> dict[str, Any]:
    """The prompt as Label Studio sends it."""
    height, width = target.mask.shape
    if kind == "box":
        x1, y1, x2, y2 = target.box
        across, down = (x2 - x1) * BOX_MARGIN, (y2 - y1) * BOX_MARGIN
        value: dict[str, Any] = {
            "x": (x1 - across) / width * 100, "y": (y1 - down) / height * 100,
            "width": (x2 - x1 + 2 * across) / width * 100,
            "height": (y2 - y1 + 2 * down) / height * 100,
            "rotation": 0, "rectanglelabels": [target.label],
        }  # fmt: skip
        return {"type": "rectanglelabels", "from_name": "b", "to_name": "image", "value": value}
    x, y = target.inner if kind == "click" else target.anywhere
    value = {"x": x / width * 100, "y": y / height * 100, "keypointlabels": [target.label]}
    return {
        "type": "keypointlabels", "from_name": "k", "to_name": "image", "is_positive": True,
        "value": value,
    }  # fmt: skip


def overlap(regions: Sequence[Any], target: Target) -> float:
    height, width = target.mask.shape
    shown = np.zeros((height, width), bool)
    for region in regions:
        mask = region_mask(region, width, height)
        if mask is not None:
            shown |= mask
    return float((shown & target.mask).sum() / (shown | target.mask).sum())


def predictor(engine: Engine, folder: Path, *, closer_looks: bool) -> Predictor:
    cache = ResultCache([MemoryStore(1 << 28)], AddressMemory(1e9))
    options = replace(PredictorOptions(choice="brush"), closer_looks=closer_looks)
    return Predictor(engine, Folder(folder), options, FairPool(1), cache)


def measure(subject: Predictor, wanted: Sequence[Target], config: str) -> dict[str, Any]:
    """Overlaps by kind of prompt, and how long answers took."""
    plan = subject.plan(config)
    found: dict[str, list[float]] = {"prediction": [], "click": [], "jittered": [], "box": []}
    seconds: list[float] = []
    for target in wanted:
        task = {"id": 1, "data": {"image": target.photo}}
        shown = subject.predict_task(task, plan).result
        own = [r for r in shown if r["value"]["brushlabels"] == [target.label]]
        found["prediction"].append(max((overlap([r], target) for r in own), default=0.0))
        for kind in ("click", "jittered", "box"):
            context = {"result": [drawn(kind, target)]}
            start = time.perf_counter()
            (answer,) = subject.answer_prompts([task], config, context)
            seconds.append(time.perf_counter() - start)
            if answer.prediction is None:
                raise SystemExit(f"{target.photo}: {answer.reason}")
            found[kind].append(overlap(answer.prediction.result, target))
    small = np.array([is_small(target) for target in wanted])
    table: dict[str, Any] = {
        kind: {
            "mean": round(float(np.mean(values)), 3),
            "above 0.5": round(float(np.mean(np.array(values) > 0.5)), 3),
            "above 0.75": round(float(np.mean(np.array(values) > 0.75)), 3),
            "mean of small": round(float(np.mean(np.array(values)[small])), 3),
        }
        for kind, values in found.items()
    }
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return {**table, "seconds": {"p50": round(float(p50), 4), "p95": round(float(p95), 4)}}


def is_small(target: Target) -> bool:
    return int(target.mask.sum()) < SMALL_PX


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--every", type=int, default=1, help="look at every so-many-th object")
    given = parser.parse_args()
    engine = Engine(given.model, device="CPU")
    labels = engine.contract.label_names
    config = write_label_config(labels, ("brush",), label_colours(labels))
    wanted = list(targets(given.annotations, labels, given.every))
    table: dict[str, object] = {}
    for closer_looks in (False, True):
        subject = predictor(engine, given.photos, closer_looks=closer_looks)
        ending = " closer" if closer_looks else ""
        for kind, values in measure(subject, wanted, config).items():
            table[f"{kind}{ending}"] = values
    small = sum(is_small(target) for target in wanted)
    print(json.dumps({"objects": len(wanted), "small": small, **table}, indent=1))


if __name__ == "__main__":
    main()
