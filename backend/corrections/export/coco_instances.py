"""Annotated instances -> COCO's `annotations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from backend.corrections.instances import Instance, View
from backend.corrections.regions import Row
from backend.labelstudio.region_masks import outline_percent
from backend.runtime.coco_rle import encode_coco
from backend.runtime.polygons import PolygonDetail, polygons

Segmentation = Literal["as-drawn", "polygon", "rle"]

# Outlines along the pixels' edges: no point is saved at the cost of a pixel.
_EXACT = PolygonDetail(overlap=1.0, max_points=10**9, min_area_px=0.0)


def coco_annotation(
    instance: Instance, result: Sequence[Row], segmentation: Segmentation
) -> dict[str, Any] | None:
    """COCO's dict without its ids (`id`, `image_id`, `category_id`); None where it has no pixel.

    `result`: of the annotation that the instance was read from. `as-drawn` keeps polygons and
    ellipses as polygons, and brush masks as compressed run lengths; a rectangle has no
    segmentation. `bbox` is x, y, width, height in pixels, of the pixels where there is a mask.
    """
    view = instance.main
    if instance.area_px <= 0:
        return None
    x1, y1, x2, y2 = view.box_xyxy_px
    return {
        "segmentation": _segmentation(instance, view, result, segmentation),
        "area": instance.area_px,
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "iscrowd": 0,
    }


def _segmentation(
    instance: Instance, view: View, result: Sequence[Row], wanted: Segmentation
) -> list[list[float]] | dict[str, Any]:
    if view.mask is None:
        return []
    frame = instance.frame
    if wanted == "rle" or (wanted == "as-drawn" and view.kind == "brush"):
        return encode_coco(view.mask, frame.width, frame.height)
    if view.kind == "brush":
        return [ring.ravel().tolist() for ring in polygons(view.mask, _EXACT)]
    size = frame.width, frame.height
    outlines = [outline_percent(result[position]) for position in view.positions]
    return [(each / 100 * size).ravel().tolist() for each in outlines if each is not None]
