"""Regions, predictions and annotations as Label Studio stores them, for tests of corrections."""

from __future__ import annotations

from typing import Any

import numpy as np

from backend.labelstudio.brush_rle import encode_brush
from backend.runtime.detections import MaskCrop

WIDTH, HEIGHT = 100, 50  # 1 % is 1 pixel across, half a pixel down
Row = dict[str, Any]


def region(region_id: str, kind: str, label: str | None, value: Row, **more: Any) -> Row:
    """One result; `more` replaces or adds fields."""
    labels = {} if label is None else {f"{kind}labels": [label]}
    return {
        "id": region_id,
        "type": f"{kind}labels",
        "from_name": kind,
        "to_name": "image",
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "value": {**value, **labels},
        **more,
    }


def polygon(
    region_id: str, x: float, y: float, w: float, h: float, label: str | None = "car", **more: Any
) -> Row:
    """A rectangle of pixels, drawn as a polygon."""
    corners = [(x, y), (x + w, y), (x + w, y + h), (x, y + h)]
    points = [[px / WIDTH * 100, py / HEIGHT * 100] for px, py in corners]
    return region(region_id, "polygon", label, {"points": points, "closed": True}, **more)


def brush(
    region_id: str, x: int, y: int, w: int, h: int, label: str | None = "car", **more: Any
) -> Row:
    """A rectangle of pixels, drawn with the brush."""
    rle = encode_brush(MaskCrop(x, y, np.ones((h, w), np.bool_)), WIDTH, HEIGHT)
    return region(region_id, "brush", label, {"format": "rle", "rle": rle}, **more)


def rectangle(
    region_id: str, x: float, y: float, w: float, h: float, label: str | None = "car", **more: Any
) -> Row:
    value = {
        "x": x / WIDTH * 100, "y": y / HEIGHT * 100,
        "width": w / WIDTH * 100, "height": h / HEIGHT * 100, "rotation": 0,
    }  # fmt: skip
    return region(region_id, "rectangle", label, value, **more)


def prediction(prediction_id: int, *result: Row, version: str = "v1") -> Row:
    return {
        "id": prediction_id, "model_version": version, "score": 0.5, "result": list(result),
    }  # fmt: skip


def annotation(annotation_id: int, *result: Row, parent: int | None = None, **more: Any) -> Row:
    """`more` replaces or adds fields."""
    return {
        "id": annotation_id,
        "result": list(result),
        "completed_by": 1,
        "was_cancelled": False,
        "created_at": "2026-11-21T08:00:00.000000Z",
        "updated_at": f"2026-11-21T08:00:{annotation_id % 60:02d}.000000Z",
        "lead_time": 10.0,
        "parent_prediction": parent,
        "parent_annotation": None,
        **more,
    }


def task(task_id: int, annotations: list[Row], predictions: list[Row]) -> Row:
    return {
        "id": task_id,
        "data": {"image": f"http://127.0.0.1/{task_id}.jpg"},
        "annotations": annotations,
        "predictions": predictions,
    }
