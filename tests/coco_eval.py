"""COCO average precision of a converted model on photos with ground truth, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.engine import Engine
from backend.runtime.image import decode_image


def detect_photos(engine: Engine, photos_dir: Path, instances_json: Path) -> dict[int, Detections]:
    """Detections of every photo of the ground truth, by image id."""
    images = json.loads(instances_json.read_text())["images"]
    return {
        image["id"]: engine.detect(decode_image((photos_dir / image["file_name"]).read_bytes()))
        for image in images
    }


def coco_results(found: dict[int, Detections], category_ids: list[int]) -> list[dict[str, Any]]:
    """A COCO results list, best 100 an image. `category_ids`: one a label, in the model's order."""
    return [
        {
            "image_id": image_id,
            "category_id": category_ids[detections.labels[i]],
            "score": float(detections.scores[i]),
            "bbox": _xywh(detections.boxes_xyxy_px[i]),
            **_segmentation(detections, i),
        }
        for image_id, detections in found.items()
        for i in range(min(100, len(detections)))
    ]


def average_precision(
    results: list[dict[str, Any]],
    instances_json: Path,
    kind: Literal["bbox", "segm"],
    iou: Literal["0.50:0.95", "0.50"] = "0.50:0.95",
) -> float:
    """AP over all areas, at most 100 detections an image."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(instances_json))
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0 if iou == "0.50:0.95" else 1])


def _xywh(box_xyxy_px: Any) -> list[float]:
    x1, y1, x2, y2 = (float(v) for v in box_xyxy_px)
    return [x1, y1, x2 - x1, y2 - y1]


def _segmentation(detections: Detections, index: int) -> dict[str, Any]:
    if detections.masks is None:
        return {}
    return {"segmentation": encode(detections.masks[index], detections.width, detections.height)}


def encode(crop: MaskCrop, width: int, height: int) -> dict[str, Any]:
    """A mask crop as COCO's compressed RLE of the whole image."""
    frame = np.zeros((height, width), np.uint8, order="F")
    rows, columns = crop.pixels.shape
    frame[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
    encoded: dict[str, Any] = rle.encode(frame)
    return encoded
