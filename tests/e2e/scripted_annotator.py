"""A person who corrects predictions by a script, and keeps count of it in a way of its own.

What a report says later is compared with this: pixels are counted by pycocotools, and nothing
here is shared with what is tested.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask
from studio_api import LabelStudio

from backend.labelstudio.brush_rle import encode_brush
from backend.runtime.detections import MaskCrop

Row = dict[str, Any]
ACTIONS = ("keep", "keep", "reshape", "relabel", "redraw", "delete", "keep", "redraw_smaller")
_CORNER_PX = 26  # of what is added, where the scenes show nothing
_MOVE_PERCENT = 1.5


@dataclass(frozen=True)
class Done:
    """What the script did with one instance."""

    fate: str
    predicted: str | None
    final: str | None
    score: float | None
    iou: float | None


@dataclass
class Log:
    """Everything that it did."""

    done: list[Done] = field(default_factory=list)
    kinds: dict[int, str] = field(default_factory=dict)  # of each task
    times_s: dict[int, float] = field(default_factory=dict)

    def counts(self, label: str) -> Row:
        """As a report counts them."""
        own = Counter(done.fate for done in self.done if done.predicted == label)
        own["added"] = sum(d.fate == "added" and d.final == label for d in self.done)
        arrived = sum(d.fate == "relabelled" and d.final == label for d in self.done)
        return {
            "predicted": own["kept"] + own["reshaped"] + own["relabelled"] + own["deleted"],
            "final": own["kept"] + own["reshaped"] + arrived + own["added"],
            "relabelled_to": arrived,
            **{fate: own[fate] for fate in ("kept", "reshaped", "relabelled", "deleted", "added")},
        }

    @property
    def labels(self) -> set[str]:
        return {label for done in self.done for label in (done.predicted, done.final) if label}


class ScriptedAnnotator:
    """Goes through the actions one instance after another, whatever the task."""

    def __init__(self, api: LabelStudio, labels: Sequence[str]) -> None:
        self._api = api
        self._labels = list(labels)
        self._actions = cycle(ACTIONS)
        self._number = 0
        self.log = Log()

    def correct(
        self,
        task_id: int,
        prediction: Row,
        lead_time_s: float,
        *,
        only_keep: bool = False,
        add: int = 0,
        says_parent: bool = True,
    ) -> None:
        """Submit an annotation. `add`: so many new objects; `says_parent`: with the prediction
        that it began with."""
        result: list[Row] = []
        before = len(self.log.done)
        for regions in _instances(prediction["result"]):
            result += self._act("keep" if only_keep else next(self._actions), regions)
        size = prediction["result"][0] if prediction["result"] else None
        for number in range(add if size else 0):
            result += self._add(number, size)
        fates = {done.fate for done in self.log.done[before:]}
        kind = "added" if "added" in fates else "edited" if fates - {"kept"} else "only_kept"
        kind = kind if says_parent else "not_known"
        parent = prediction["id"] if says_parent else None
        self.submit(task_id, result, lead_time_s, parent)
        self.log.kinds[task_id] = kind
        self.log.times_s[task_id] = lead_time_s

    def draw(self, task_id: int, regions: Sequence[Row], lead_time_s: float, parent: int) -> None:
        """A task that was left blank: everything by hand."""
        drawn = [_manual(region, self._new_id()) for region in regions]
        self.submit(task_id, drawn, lead_time_s, parent)
        self.log.kinds[task_id] = "left_blank"
        self.log.times_s[task_id] = lead_time_s

    def submit(
        self, task_id: int, result: Sequence[Row], lead_time_s: float, parent: int | None
    ) -> None:
        body = {"result": result, "lead_time": lead_time_s, "parent_prediction": parent}
        self._api.call("POST", f"/api/tasks/{task_id}/annotations/", json=body)

    def _act(self, action: str, regions: list[Row]) -> list[Row]:
        label, score = _label(regions[0]), float(regions[0]["score"])
        untouched = [{**region, "origin": "prediction"} for region in regions]
        if action == "delete":
            self.log.done.append(Done("deleted", label, None, score, None))
            return []
        if action == "relabel":
            other = self._labels[(self._labels.index(label) + 1) % len(self._labels)]
            self.log.done.append(Done("relabelled", label, other, score, 1.0))
            return [_changed(region, _relabelled(region["value"], other)) for region in regions]
        if action == "keep":
            self.log.done.append(Done("kept", label, label, score, 1.0))
            return untouched
        outlines = [region for region in regions if region["type"] == "polygonlabels"]
        others = [region for region in untouched if region["type"] != "polygonlabels"]
        predicted = _pixels(outlines)
        if action == "reshape":
            drawn = [_changed(region, _moved(region["value"])) for region in outlines]
            final = _pixels(drawn)
        else:
            final = predicted.copy()
            if action == "redraw_smaller":
                rows = np.flatnonzero(final.any(axis=1))
                final[rows[0] : rows[0] + max(1, len(rows) // 4)] = False
            drawn = [self._brush(outlines[0], final, label)]
        iou = float((predicted & final).sum() / (predicted | final).sum())
        fate = "kept" if iou == 1 else "reshaped"
        self.log.done.append(Done(fate, label, label, score, iou))
        return [*drawn, *others]

    def _add(self, number: int, like: Row) -> list[Row]:
        """Something in a corner; every second one with the brush, and a box around it, too."""
        label = self._labels[number % len(self._labels)]
        self.log.done.append(Done("added", None, label, None, None))
        width, height = like["original_width"], like["original_height"]
        left = 0 if number % 2 else width - _CORNER_PX
        frame = {name: like[name] for name in ("to_name", "original_width", "original_height")}
        mask = np.zeros((height, width), np.bool_)
        mask[:_CORNER_PX, left : left + _CORNER_PX] = True
        if number % 2 == 0:
            x1, x2, y2 = (100 * v for v in (left / width, (left + _CORNER_PX) / width,
                                            _CORNER_PX / height))  # fmt: skip
            value = {"points": [[x1, 0], [x2, 0], [x2, y2], [x1, y2]], "closed": True,
                     "polygonlabels": [label]}  # fmt: skip
            return [{"id": self._new_id(), "type": "polygonlabels", "from_name": "polygon",
                     "image_rotation": 0, "origin": "manual", "value": value, **frame}]  # fmt: skip
        box = {"x": 0, "y": 0, "width": 100 * _CORNER_PX / width,
               "height": 100 * _CORNER_PX / height, "rotation": 0,
               "rectanglelabels": [label]}  # fmt: skip
        return [
            self._brush(like, mask, label),
            {"id": self._new_id(), "type": "rectanglelabels", "from_name": "rectangle",
             "image_rotation": 0, "origin": "manual", "value": box, **frame},
        ]  # fmt: skip

    def _brush(self, like: Row, mask: np.ndarray, label: str) -> Row:
        height, width = mask.shape
        rle = encode_brush(MaskCrop(0, 0, mask), width, height)
        value = {"format": "rle", "rle": rle, "brushlabels": [label]}
        return {
            "id": self._new_id(), "type": "brushlabels", "from_name": "brush", "origin": "manual",
            "to_name": like["to_name"], "original_width": width, "original_height": height,
            "image_rotation": 0, "value": value,
        }  # fmt: skip

    def _new_id(self) -> str:
        """As Label Studio makes them for what people draw."""
        self._number += 1
        return f"Drawn{self._number:05}"


def _instances(result: Sequence[Row]) -> list[list[Row]]:
    """Regions of the same instance: `3-0`, `3-1` and, of another control, `3.1-0`."""
    found: dict[str, list[Row]] = {}
    for region in result:
        stem = re.match(r"\d+", region["id"])
        assert stem is not None, region["id"]
        found.setdefault(stem[0], []).append(region)
    return list(found.values())


def _pixels(outlines: Sequence[Row]) -> np.ndarray:
    width, height = outlines[0]["original_width"], outlines[0]["original_height"]
    rings = [
        (np.array(region["value"]["points"]) / 100 * [width, height]).ravel().tolist()
        for region in outlines
    ]
    merged = coco_mask.merge(coco_mask.frPyObjects(rings, height, width))
    return np.asarray(coco_mask.decode(merged), np.bool_)


def _moved(value: Row) -> Row:
    points = np.array(value["points"])
    step = -_MOVE_PERCENT if points[:, 0].max() + _MOVE_PERCENT > 100 else _MOVE_PERCENT
    return {**value, "points": (points + np.array([step, 0])).clip(0, 100).tolist()}


def _relabelled(value: Row, label: str) -> Row:
    return {name: [label] if name.endswith("labels") else own for name, own in value.items()}


def _changed(region: Row, value: Row) -> Row:
    return {**region, "value": value, "origin": "prediction-changed"}


def _manual(region: Row, region_id: str) -> Row:
    own = {name: value for name, value in region.items() if name != "score"}
    return {**own, "id": region_id, "origin": "manual"}


def _label(region: Row) -> str:
    return str(region["value"][region["type"]][0])
