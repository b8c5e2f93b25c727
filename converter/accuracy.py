"""Average precision of two models on the annotated ones of the images they ran on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from backend.runtime.detections import MaskCrop
from backend.runtime.errors import MeasurementError
from converter.bootstrap import Interval, differences
from converter.coco_metrics import Evaluation, Kind, evaluate
from converter.compare import Run
from converter.ground_truth import GroundTruth, category_ids
from converter.match import Side


@dataclass(frozen=True, eq=False)
class Measured:
    """One metric of each model. `gaps`: the second minus the first, by figure, of two models."""

    kind: Kind
    evaluations: tuple[Evaluation, ...]
    gaps: dict[str, Interval]


@dataclass(frozen=True, eq=False)
class Accuracy:
    """`images`: how many annotated ones; `left_out`: images without annotations; `names`: of the
    truth's categories by id; `unnamed`: the models' labels that the truth does not have."""

    measured: tuple[Measured, ...]
    images: int
    instances: int
    left_out: int
    names: dict[int, str]
    unnamed: tuple[str, ...]


def measure_accuracy(run: Run, truth: GroundTruth) -> Accuracy:
    """Box AP, and where both models and the truth have masks, mask and boundary AP.

    Raises MeasurementError, also where any image failed.
    """
    ids = image_ids(truth, [image.path for image in run.images])
    failed = [failure for failure in run.failures if _id_of(truth, failure.path) is not None]
    if failed:
        raise MeasurementError(
            f"{failed[0].path.name} failed, and average precision is given for all images or not "
            f"at all: {failed[0].error}"
        )
    if not ids:
        raise MeasurementError(
            "none of the images is in the annotations: their file names must be the same."
        )
    part = truth.subset(ids.values())
    categories = [category_ids(engine.contract.labels, truth) for engine in run.engines]
    answers = [
        {ids[image.path]: image.found[i] for image in run.images if image.path in ids}
        for i in range(len(run.engines))
    ]
    masks = part.has_masks and all(
        detections.masks is not None for each in answers for detections in each.values()
    )
    kinds: tuple[Kind, ...] = ("box", "mask", "boundary") if masks else ("box",)
    measured = []
    for kind in kinds:
        found = tuple(
            evaluate(part, each, own, kind) for each, own in zip(answers, categories, strict=True)
        )
        measured.append(Measured(kind, found, _gaps(found)))
    unnamed = {
        label.name
        for engine, own in zip(run.engines, categories, strict=True)
        for label, category in zip(engine.contract.labels, own, strict=True)
        if category is None
    }
    return Accuracy(
        tuple(measured),
        len(part.images),
        sum(not annotation["iscrowd"] for annotation in part.annotations),
        len(run.images) - len(ids),
        part.categories,
        tuple(sorted(unnamed)),
    )


def image_ids(truth: GroundTruth, paths: Sequence[Path]) -> dict[Path, int]:
    """The annotated ones of some files."""
    found = {path: _id_of(truth, path) for path in paths}
    return {path: image_id for path, image_id in found.items() if image_id is not None}


def _id_of(truth: GroundTruth, path: Path) -> int | None:
    return truth.image_ids_by_name().get(path.name)


def _gaps(found: tuple[Evaluation, ...]) -> dict[str, Interval]:
    if len(found) != 2 or found[0].overall.ap is None:
        return {}
    first, second = found
    return differences(first, second)


def truth_side(truth: GroundTruth, image_id: int, labels: list[str]) -> Side:
    """The instances of an image, for a picture. Names that `labels` lacks are added to it."""
    boxes, numbers, masks = [], [], []
    image = truth.images[image_id]
    for annotation in truth.annotations:
        if annotation["image_id"] != image_id:
            continue
        name = truth.categories[annotation["category_id"]]
        if name not in labels:
            labels.append(name)
        x, y, width, height = annotation["bbox"]
        boxes.append((x, y, x + width, y + height))
        numbers.append(labels.index(name))
        masks.append(_mask(annotation.get("segmentation"), image.width, image.height))
    return Side(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.ones(len(boxes), np.float32),
        np.array(numbers, np.int64),
        masks,
    )


def _mask(segmentation: object, width: int, height: int) -> MaskCrop:
    """Polygons or run lengths -> pixels; nothing where there is no mask."""
    if not segmentation:
        return MaskCrop(0, 0, np.zeros((0, 0), np.bool_))
    frame = np.zeros((height, width), np.uint8)
    if isinstance(segmentation, dict):
        from pycocotools import mask as rle

        given = segmentation
        if isinstance(given["counts"], list):
            given = rle.frPyObjects(given, height, width)
        frame = np.asarray(rle.decode(given), np.uint8)
    elif isinstance(segmentation, list):
        for polygon in segmentation:
            points = np.array(polygon, np.float64).reshape(-1, 2)
            cv2.fillPoly(frame, [np.rint(points - 0.5).astype(np.int32)], (1,))
    return MaskCrop(0, 0, frame.astype(np.bool_)).trimmed()
