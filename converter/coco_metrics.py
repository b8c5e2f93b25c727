"""COCO's average precision of boxes, masks and mask boundaries, by pycocotools.

pycocotools is imported only when a metric is asked for; it comes with the extra `validate`.
Source of the metric: https://cocodataset.org/#detection-eval; of Boundary AP: Cheng and others,
Boundary IoU, CVPR 2021, https://arxiv.org/abs/2103.16562.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from backend.runtime.coco_rle import coco_results
from backend.runtime.detections import Detections
from backend.runtime.errors import MeasurementError
from converter.boundary import boundary_of
from converter.ground_truth import GroundTruth

Kind = Literal["box", "mask", "boundary"]
MAX_DETECTIONS = 100
_IOU_050, _IOU_075 = 0, 5
_AREAS = ("all", "small", "medium", "large")
F64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class AveragePrecision:
    """0..1; None where there is nothing of that kind to be found.

    `ap`: mean over the IoU thresholds 0.50, 0.55, ..., 0.95; `small`: below 32x32 pixels, `medium`:
    below 96x96, `large`: the rest.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    small: float | None = None
    medium: float | None = None
    large: float | None = None

    def to_json(self) -> dict[str, float | None]:
        """By field."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class CategoryHits:
    """The detections of one category, best score first (of equal ones, the earlier image).

    `image` i64 [D]: position among the evaluation's images; `hit` bool [T, D]: it found an instance
    at IoU threshold t; `counted` bool [T, D]: it counts at all (a crowd's does not); `instances`
    i64 [I]: how many an image has to be found.
    """

    category_id: int
    image: npt.NDArray[np.int64]
    hit: npt.NDArray[np.bool_]
    counted: npt.NDArray[np.bool_]
    instances: npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One model on one set of annotated images.

    `per_category`: by category id, of those that the images show; `precision50`, `precision75` f64
    [101]: at recall 0, 0.01, ..., 1, mean over the categories; `hits`: what `bootstrap` draws from.
    """

    kind: Kind
    image_ids: tuple[int, ...]
    overall: AveragePrecision
    per_category: dict[int, AveragePrecision]
    precision50: F64
    precision75: F64
    hits: tuple[CategoryHits, ...]


def evaluate(
    truth: GroundTruth,
    found: Mapping[int, Detections],
    categories: Sequence[int | None],
    kind: Kind,
) -> Evaluation:
    """At most 100 detections an image, best first, as COCO does.

    `found`: by image id, one for every image of `truth`; `categories`: the truth's category id of
    each of the model's labels (`ground_truth.category_ids`). Raises MeasurementError, also where an
    image has no answer: an image that failed must not make the figure better.
    """
    missing = [truth.images[i].file_name for i in truth.images if i not in found]
    if missing:
        raise MeasurementError(
            f"{len(missing)} of {len(truth.images)} images have no result ({missing[0]}): average "
            "precision is given for all images or not at all."
        )
    if not truth.images:
        raise MeasurementError("there is no annotated image to measure on.")
    _check(truth, found, kind)
    results = [
        result
        for image_id in truth.images
        for result in coco_results(found[image_id], image_id, tuple(categories))
    ]
    for number, result in enumerate(results, start=1):
        result |= {"id": number, "iscrowd": 0}
        if kind == "box":
            result.pop("segmentation", None)
            result["area"] = result["bbox"][2] * result["bbox"][3]
        else:
            result.pop("bbox")  # sizes are those of masks
    return _evaluation(truth, results, kind)


def _check(truth: GroundTruth, found: Mapping[int, Detections], kind: Kind) -> None:
    for image_id, image in truth.images.items():
        size = (found[image_id].width, found[image_id].height)
        if size != (image.width, image.height):
            raise MeasurementError(
                f"{image.file_name} has {size[0]}x{size[1]} pixels as it is displayed, but the "
                f"annotations say {image.width}x{image.height}: leave it out, or annotate it again."
            )
    if kind == "box":
        return
    if not truth.has_masks:
        raise MeasurementError("the annotations have boxes without masks: only box AP can be had.")
    if any(detections.masks is None for detections in found.values()):
        raise MeasurementError("the model finds boxes without masks: only box AP can be had.")


def _evaluation(truth: GroundTruth, results: list[dict[str, Any]], kind: Kind) -> Evaluation:
    coco, coco_eval, rle = _pycocotools()
    if kind != "box":
        for result in results:
            result["area"] = float(rle.area(result["segmentation"]))
    shared = {
        "images": [
            {"id": i, "width": image.width, "height": image.height}
            for i, image in truth.images.items()
        ],
        "categories": [{"id": i, "name": name} for i, name in truth.categories.items()],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        sides = []
        for annotations in ([dict(a) for a in truth.annotations], results):
            side = coco()
            side.dataset = shared | {"annotations": annotations}
            side.createIndex()
            sides.append(side)
        evaluation = coco_eval(*sides, "bbox" if kind == "box" else "segm")
        evaluation.params.maxDets = [1, 10, MAX_DETECTIONS]
        if kind == "boundary":
            evaluation.computeIoU = _boundary_ious(evaluation, rle)
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][..., -1]  # [T, R, K, A]
    return Evaluation(
        kind=kind,
        image_ids=tuple(int(i) for i in evaluation.params.imgIds),
        overall=_summary(precision),
        per_category={
            int(category): _summary(precision[:, :, [k]])
            for k, category in enumerate(evaluation.params.catIds)
            if (precision[:, :, k, 0] > -1).any()
        },
        precision50=_curve(precision[_IOU_050, :, :, 0]),
        precision75=_curve(precision[_IOU_075, :, :, 0]),
        hits=_hits(evaluation),
    )


def _summary(precision: F64) -> AveragePrecision:
    """`precision` [T, R, K, A], -1 where a category has no instance."""
    return AveragePrecision(
        ap=_mean(precision[..., 0]),
        ap50=_mean(precision[_IOU_050, ..., 0]),
        ap75=_mean(precision[_IOU_075, ..., 0]),
        **{name: _mean(precision[..., a]) for a, name in enumerate(_AREAS) if a},
    )


def _mean(values: F64) -> float | None:
    present = values[values > -1]
    # pycocotools adds the smallest number there is to every denominator
    return round(float(present.mean()), 9) if present.size else None


def _curve(precision: F64) -> F64:
    """[R, K] -> [R], over the categories that have instances."""
    present = precision[:, precision[0] > -1]
    return present.mean(axis=1) if present.shape[1] else np.zeros(len(precision))


def _hits(evaluation: Any) -> tuple[CategoryHits, ...]:
    params = evaluation.params
    images, areas = len(params.imgIds), len(params.areaRng)
    found = []
    for k, category in enumerate(params.catIds):
        start = k * areas * images  # the first area is 'all'
        each = evaluation.evalImgs[start : start + images]
        instances = np.zeros(images, np.int64)
        for i, image in enumerate(each):
            instances[i] = 0 if image is None else np.count_nonzero(image["gtIgnore"] == 0)
        seen = [(i, image) for i, image in enumerate(each) if image is not None]
        if not instances.any():
            continue
        scores = np.concatenate([np.asarray(image["dtScores"], np.float64) for _, image in seen])
        order = np.argsort(-scores, kind="mergesort")
        counted = ~np.concatenate([image["dtIgnore"].astype(bool) for _, image in seen], axis=1)
        hit = np.concatenate([image["dtMatches"] > 0 for _, image in seen], axis=1) & counted
        image_of = np.concatenate([np.full(len(image["dtScores"]), i) for i, image in seen])
        found.append(
            CategoryHits(
                int(category),
                image_of[order].astype(np.int64),
                hit[:, order],
                counted[:, order],
                instances,
            )
        )
    return tuple(found)


def _boundary_ious(evaluation: Any, rle: Any) -> Any:
    """In place of COCOeval.computeIoU: the smaller of mask IoU and boundary IoU."""
    plain = evaluation.computeIoU
    cache: dict[int, Any] = {}

    def boundary(annotation: dict[str, Any]) -> Any:
        key = id(annotation)
        if key not in cache:
            cache[key] = boundary_of(annotation["segmentation"], rle)
        return cache[key]

    def ious(image_id: int, category_id: int) -> Any:
        masks = plain(image_id, category_id)
        if len(masks) == 0:
            return masks
        truth = evaluation._gts[image_id, category_id]
        found = evaluation._dts[image_id, category_id]
        order = np.argsort([-d["score"] for d in found], kind="mergesort")[:MAX_DETECTIONS]
        crowd = [int(annotation["iscrowd"]) for annotation in truth]
        edges = rle.iou(
            [boundary(found[i]) for i in order],
            [boundary(annotation) for annotation in truth],
            crowd,
        )
        # A crowd only excuses what lies in it, which its edge says nothing about.
        return np.where(crowd, masks, np.minimum(masks, edges))

    return ious


def _pycocotools() -> tuple[Any, Any, Any]:
    try:
        from pycocotools import mask
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise MeasurementError(
            "COCO's metrics need pycocotools, and there is none here: pip install "
            "'labelvino[validate]', or leave out the annotations."
        ) from error
    return COCO, COCOeval, mask
