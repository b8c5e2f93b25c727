"""What tuning thresholds brings on photos with known objects, on photos that it has not seen.

The annotated objects of COCO-like photos stand for the corrections. Thresholds are chosen on a half
of the photos, by chance, and measured on the other half: those in force, the best one of all labels
on the first half, the best of each label there, and what `labelvino tune` would do.

    python -m benchmarks.tuning MODEL.xml PHOTOS ANNOTATIONS.json [--splits N]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from backend.corrections.history import AnnotatedTask
from backend.corrections.tuning.evidence import GRID, LabelCurves, TaskEvidence, label_curves
from backend.corrections.tuning.judging import judge
from backend.corrections.tuning.tuning import TuningOptions, tune
from backend.fair_pool import FairPool
from backend.labelstudio.brush_rle import encode_brush
from backend.labelstudio.config_writer import write_label_config
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.detections import MaskCrop
from backend.runtime.engine import Engine
from backend.runtime.overlay import label_colours
from benchmarks.prompts import Folder

Choose = Callable[[list[TaskEvidence]], dict[int, float]]
DEFAULTS = (0.3, 0.5, 0.7)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


def corrected(coco: COCO, image: dict[str, object], number: int) -> AnnotatedTask:
    """The photo's objects as brush regions, but for crowds."""
    names = {c["id"]: c["name"] for c in coco.dataset["categories"]}
    width, height = int(str(image["width"])), int(str(image["height"]))
    result = []
    for annotation in coco.loadAnns(coco.getAnnIds(imgIds=image["id"], iscrowd=False)):
        mask = MaskCrop(0, 0, coco.annToMask(annotation).astype(bool)).trimmed()
        if mask.area:
            result.append(
                {
                    "id": str(annotation["id"]), "type": "brushlabels", "from_name": "brush",
                    "to_name": "image", "original_width": width, "original_height": height,
                    "value": {"format": "rle", "rle": encode_brush(mask, width, height),
                              "brushlabels": [names[annotation["category_id"]]]},
                }
            )  # fmt: skip
    data = {"image": image["file_name"]}
    return AnnotatedTask(
        number, data, number, tuple(result), None, NOW, NOW, None, None, None, is_blank=False
    )


def evidence(engine: Engine, photos: Path, annotations: Path) -> list[TaskEvidence]:
    """Of every photo that has an object."""
    coco, pool = COCO(str(annotations)), FairPool(1)
    predictor = Predictor(engine, Folder(photos), PredictorOptions(), pool)
    names = engine.contract.label_names
    plan = predictor.plan(write_label_config(names, ("brush",), label_colours(names)))
    found = []
    for number, image in enumerate(coco.dataset["images"], 1):
        task = corrected(coco, image, number)
        row = {"id": number, "data": task.data}
        found.append(judge(task, predictor.look(row, plan, float(GRID[0])), plan))
    pool.close()
    return found


def best_of(curves: Sequence[LabelCurves], options: TuningOptions) -> float:
    """The threshold of the least loss, for these labels together."""
    shown = sum(curve.shown.sum(0) for curve in curves)
    objects = float(sum(curve.objects.sum() for curve in curves))
    losses = options.loss.of(np.asarray(shown), objects, axis=0)
    alike = np.flatnonzero(losses <= losses.min() + 1e-9)
    return float(GRID[alike[len(alike) // 2]])


def ways(labels: range, default: float, options: TuningOptions) -> dict[str, Choose]:
    """Ways to choose the thresholds of all labels."""

    def curves(tasks: list[TaskEvidence]) -> list[LabelCurves]:
        return [label_curves(tasks, i, default, options.costs.reshape_below) for i in labels]

    def tuned(tasks: list[TaskEvidence]) -> dict[int, float]:
        found = tune(tasks, dict.fromkeys(labels, default), options)
        return found.changes if found.is_worth_it else {}

    return {
        "in force": lambda _: {},
        "best of all labels": lambda tasks: dict.fromkeys(labels, best_of(curves(tasks), options)),
        "best of each label": lambda tasks: {
            curve.label: best_of([curve], options) for curve in curves(tasks) if len(curve.rows)
        },
        "labelvino tune": tuned,
    }


def loss(
    tasks: list[TaskEvidence],
    thresholds: dict[int, float],
    labels: range,
    default: float,
    options: TuningOptions,
) -> float:
    """Seconds a task, or 1 - F1."""
    total, objects = np.zeros(3), 0.0
    for label in labels:
        threshold = thresholds.get(label, default)
        curve = label_curves(tasks, label, threshold, options.costs.reshape_below)
        total += curve.old.sum(0)
        objects += float(curve.objects.sum())
    found = float(options.loss.of(total, objects))
    return found / len(tasks) if options.objective == "effort" else found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("--splits", type=int, default=20)
    given = parser.parse_args()
    engine = Engine(given.model, device="CPU")
    tasks = evidence(engine, given.photos, given.annotations)
    labels = range(len(engine.contract.labels))
    print(f"{len(tasks)} photos, {sum(len(t.objects) for t in tasks)} objects")
    for objective in ("effort", "f1"):
        options = replace(TuningOptions(), objective=objective)
        for default in DEFAULTS:
            _print(tasks, labels, default, options, given.splits)
            whole = tune(tasks, dict.fromkeys(labels, default), options)
            print(f"  all photos: {whole.pooled}, taken {whole.pooled_taken}, "
                  f"{len(whole.changes)} changes, effect {whole.effect}")  # fmt: skip


def _print(
    tasks: list[TaskEvidence], labels: range, default: float, options: TuningOptions, splits: int
) -> None:
    losses: dict[str, list[float]] = {}
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(tasks))
        half = len(tasks) // 2
        first, second = ([tasks[i] for i in part] for part in (order[:half], order[half:]))
        for name, choose in ways(labels, default, options).items():
            found = loss(second, choose(first), labels, default, options)
            losses.setdefault(name, []).append(found)
    print(f"{options.objective}, threshold in force {default}")
    before = np.array(losses["in force"])
    for name, values in losses.items():
        gain = before - np.array(values)
        better, worse = np.mean(gain > 1e-9), np.mean(gain < -1e-9)
        told = f"{np.mean(values):8.3f}  gain {gain.mean():+8.3f}"
        print(f"  {name:20} {told}  better in {better:4.0%}, worse in {worse:4.0%}")


if __name__ == "__main__":
    main()
