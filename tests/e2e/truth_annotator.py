"""A person who corrects predictions on photos until they are the truth, and keeps count of it.

What is done with an object follows from how well the prediction hits it; pixels are counted by
pycocotools, and nothing here is shared with what is tested.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from backend.labelstudio.brush_rle import encode_brush
from backend.runtime.detections import MaskCrop
from backend.runtime.polygons import PolygonDetail, polygons

Row = dict[str, Any]
GOOD_ENOUGH = 0.75  # IoU from which on a shape stays as it is
SAME_OBJECT = 0.5
_EXACT = PolygonDetail(overlap=1.0, max_points=10**9, min_area_px=0.0)


@dataclass
class Counts:
    """Of everything that was done: by fate, and by fate and the label that a report has it under
    (the predicted one, of added objects the new one)."""

    total: Counter[str] = field(default_factory=Counter)
    by_label: Counter[tuple[str, str]] = field(default_factory=Counter)
    by_image: Counter[int] = field(default_factory=Counter)  # all but what was kept
    reshaped_ious: list[float] = field(default_factory=list)
    final: int = 0

    def add(self, image_id: int, fate: str, label: str) -> None:
        self.total[fate] += 1
        self.by_label[fate, label] += 1
        self.by_image[image_id] += fate != "kept"


class TruthAnnotator:
    """Corrects with the polygon and, every second time, with the brush."""

    def __init__(self, truth: COCO) -> None:
        self._truth = truth
        self._number = 0
        self.counts = Counts()

    def corrected(self, image_id: int, prediction: Sequence[Row]) -> list[Row]:
        """The regions of the final annotation, crowds left aside."""
        image = self._truth.imgs[image_id]
        size = image["width"], image["height"]
        objects = [each for each in self._truth.imgToAnns[image_id] if not each["iscrowd"]]
        objects = [each for each in objects if self._truth.annToMask(each).any()]
        instances = _instances(prediction)
        partner, ious = self._pairs(instances, objects, size)
        result: list[Row] = []
        for i, regions in enumerate(instances):
            label = _label(regions[0])
            if i not in partner:
                self.counts.add(image_id, "deleted", label)
                continue
            meant = objects[partner[i]]
            wanted = self._name(meant)
            if label != wanted:
                self.counts.add(image_id, "relabelled", label)
                result += [_changed(each, polygonlabels=[wanted]) for each in regions]
            elif ious[i, partner[i]] >= GOOD_ENOUGH:
                self.counts.add(image_id, "kept", label)
                result += [{**each, "origin": "prediction"} for each in regions]
            else:
                self.counts.add(image_id, "reshaped", label)
                self.counts.reshaped_ious.append(float(ious[i, partner[i]]))
                result += self._drawn(meant, wanted, size, like=regions[0])
        for j, meant in enumerate(objects):
            if j not in partner.values():
                self.counts.add(image_id, "added", self._name(meant))
                result += self._drawn(meant, self._name(meant), size)
        self.counts.final += len(objects)
        return result

    def _pairs(
        self, instances: Sequence[Sequence[Row]], objects: Sequence[Row], size: tuple[int, int]
    ) -> tuple[dict[int, int], np.ndarray]:
        """One to one, best first; of equal places the same label first."""
        if not instances or not objects:
            return {}, np.zeros((len(instances), len(objects)))
        drawn = [_encoded(regions, size) for regions in instances]
        truth = [self._truth.annToRLE(each) for each in objects]
        ious = np.array(coco_mask.iou(drawn, truth, [0] * len(truth)))
        same = np.array(
            [[_label(regions[0]) == self._name(each) for each in objects] for regions in instances]
        )
        found: dict[int, int] = {}
        for agreeing in (True, False):
            near = np.argwhere((ious >= SAME_OBJECT) & (same == agreeing)).tolist()
            for i, j in sorted(near, key=lambda ij: -ious[ij[0], ij[1]]):
                if i not in found and j not in found.values():
                    found[i] = j
        return found, ious

    def _name(self, each: Row) -> str:
        return str(self._truth.cats[each["category_id"]]["name"])

    def _drawn(
        self, each: Row, label: str, size: tuple[int, int], like: Row | None = None
    ) -> list[Row]:
        """An object as it is, drawn anew; `like`: the region that an outline takes the place of.

        Every second one, and what has several parts, with the brush.
        """
        self._number += 1
        mask = MaskCrop(0, 0, self._truth.annToMask(each).astype(np.bool_))
        rings = polygons(mask, _EXACT)
        if self._number % 2 or len(rings) > 1:
            value = {"format": "rle", "rle": encode_brush(mask, *size), "brushlabels": [label]}
            return [_region(f"Brush{self._number:04}", "brush", value, size, "manual")]
        points = (rings[0] / size * 100).tolist()
        value = {"points": points, "closed": True, "polygonlabels": [label]}
        region_id = f"Ring{self._number:04}" if like is None else like["id"]
        origin = "manual" if like is None else "prediction-changed"
        return [_region(region_id, "polygon", value, size, origin)]


def _region(region_id: str, kind: str, value: Row, size: tuple[int, int], origin: str) -> Row:
    return {
        "id": region_id, "type": f"{kind}labels", "from_name": kind, "to_name": "image",
        "original_width": size[0], "original_height": size[1], "image_rotation": 0,
        "origin": origin, "value": value,
    }  # fmt: skip


def _instances(result: Sequence[Row]) -> list[list[Row]]:
    """Regions `3-0`, `3-1` are parts of one instance."""
    found: dict[str, list[Row]] = {}
    for region in result:
        stem = re.match(r"\d+", region["id"])
        assert stem is not None, region["id"]
        found.setdefault(stem[0], []).append(region)
    return list(found.values())


def _encoded(regions: Sequence[Row], size: tuple[int, int]) -> Any:
    rings = [(np.array(r["value"]["points"]) / 100 * size).ravel().tolist() for r in regions]
    return coco_mask.merge(coco_mask.frPyObjects(rings, size[1], size[0]))


def _label(region: Row) -> str:
    return str(region["value"]["polygonlabels"][0])


def _changed(region: Row, **changes: Any) -> Row:
    return {**region, "origin": "prediction-changed", "value": {**region["value"], **changes}}
