"""Detections -> Label Studio regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NotRequired, TypedDict

import numpy as np
import numpy.typing as npt

from backend.labelstudio.brush_rle import encode_brush
from backend.labelstudio.label_config import Control
from backend.labelstudio.region_plan import RegionPlan, Target
from backend.runtime.detections import Detections
from backend.runtime.polygons import PolygonDetail
from backend.runtime.sketches import polygons_of

ScoreStrategy = Literal["mean", "min", "margin", "agreement"]
_PERCENT_DECIMALS = 4
_SCORE_DECIMALS = 4
# Certainty of an instance that a threshold halfway to 0, or one halfway to 1, shows or drops.
_HALFWAY = 0.5


class Region(TypedDict):
    """One item of a prediction's `result`, as Label Studio stores it."""

    id: str
    type: str
    from_name: str
    to_name: str
    original_width: int
    original_height: int
    image_rotation: int
    score: float
    value: dict[str, Any]
    item_index: NotRequired[int]


@dataclass(frozen=True)
class RegionOptions:
    """How regions are written."""

    polygon: PolygonDetail = field(default_factory=PolygonDetail)
    max_brush_regions: int = 40  # more of them make the browser slow


@dataclass(frozen=True)
class ImageRegions:
    """The regions of one image, and the scores of the instances that they show.

    `capped`: brush regions left out because of `max_brush_regions`.
    """

    regions: list[Region]
    instance_scores: tuple[float, ...]
    capped: int = 0


def build_regions(
    found: Detections,
    plan: RegionPlan,
    to_name: str,
    options: RegionOptions,
    item_index: int | None = None,
) -> ImageRegions:
    """Write the regions of one image, best instance first.

    Region ids are `<instance>-<part>`; `item_index` is the image's place in a multi-image task.
    """
    regions: list[Region] = []
    scores: list[float] = []
    capped = brushes = 0
    frame = _Frame(found.width, found.height, to_name, item_index)
    rings = _rings(found, plan, options)
    for i in range(len(found)):
        score = float(found.scores[i])
        shown = False
        for k, target in enumerate(plan.targets[int(found.labels[i])]):
            if score < target.score_threshold:
                continue
            if target.control.kind == "brush" and brushes >= options.max_brush_regions:
                capped += 1
                continue
            instance = frame.instance_id(i, k)
            written = [
                region
                for part, value in enumerate(_values(found, i, target, rings.get((i, k), ())))
                for region in frame.write(f"{instance}-{part}", target, value, score)
            ]
            brushes += target.control.kind == "brush" and bool(written)
            regions.extend(written)
            shown = shown or bool(written)
        if shown:
            scores.append(score)
    return ImageRegions(regions, tuple(scores), capped)


def certainties(found: Detections, plan: RegionPlan) -> list[float]:
    """How far each detection that has a target is from its threshold, shown or not.

    0 at the threshold, 1 at a score of 0 or 1. Of several targets the nearest counts.
    """
    values = []
    for score, label in zip(found.scores.tolist(), found.labels.tolist(), strict=True):
        distances = [
            abs(score - t) / max(1.0 - t if score >= t else t, 1e-6)
            for t in (target.score_threshold for target in plan.targets[label])
        ]
        values.extend(sorted(distances)[:1])
    return values


def prediction_score(
    strategy: ScoreStrategy, shown_scores: Sequence[float], certainty: Sequence[float]
) -> float:
    """A prediction's score 0..1, low where a person should look first.

    mean, min: of the scores of the instances shown, 0 where there is none. margin: the least of
    `certainty`, 1 where the model saw nothing at all. agreement: 1 / (1 + n), where n instances are
    shown at half the threshold but not at one halfway from it to 1.
    """
    if strategy == "agreement":
        in_doubt = sum(value < _HALFWAY for value in certainty)
        return round(1 / (1 + in_doubt), _SCORE_DECIMALS)
    if strategy == "margin":
        return round(min([1.0, *certainty]), _SCORE_DECIMALS)
    if not shown_scores:
        return 0.0
    value = min(shown_scores) if strategy == "min" else sum(shown_scores) / len(shown_scores)
    return round(value, _SCORE_DECIMALS)


def _rings(
    found: Detections, plan: RegionPlan, options: RegionOptions
) -> dict[tuple[int, int], list[npt.NDArray[np.float64]]]:
    """The polygons of each instance and target that has any: drawing all at once is faster."""
    drawn: dict[tuple[int, int], PolygonDetail] = {}
    for i in range(0 if found.masks is None else len(found)):
        for k, target in enumerate(plan.targets[int(found.labels[i])]):
            is_shown = float(found.scores[i]) >= target.score_threshold
            if is_shown and target.control.kind == "polygon":
                drawn[i, k] = _detail(target.control, options)
    rings = polygons_of(found.masks or (), [i for i, _ in drawn], list(drawn.values()))
    return dict(zip(drawn, rings, strict=True))


def _values(
    found: Detections, i: int, target: Target, rings: Sequence[npt.NDArray[np.float64]]
) -> Iterator[dict[str, Any]]:
    """The geometry of instance `i` in the form of the target's control, one value a part."""
    width, height = found.width, found.height
    if target.control.kind == "rectangle":
        yield _rectangle(found.boxes_xyxy_px[i], width, height)
        return
    if target.control.kind == "brush":
        if found.masks is not None and found.masks[i].pixels.size:
            yield {"format": "rle", "rle": encode_brush(found.masks[i], width, height)}
        return
    for ring in rings:
        points = np.round(ring / [width, height] * 100.0, _PERCENT_DECIMALS)
        yield {"points": points.tolist(), "closed": True}


def _rectangle(box: npt.NDArray[np.float32], width: int, height: int) -> dict[str, Any]:
    scale = np.array([width, height, width, height]) / 100.0
    x1, y1, x2, y2 = np.round(box / scale, _PERCENT_DECIMALS).tolist()
    return {
        "x": x1,
        "y": y1,
        "width": round(x2 - x1, _PERCENT_DECIMALS),
        "height": round(y2 - y1, _PERCENT_DECIMALS),
        "rotation": 0,
    }


def _detail(control: Control, options: RegionOptions) -> PolygonDetail:
    if control.polygon_detail is None:
        return options.polygon
    return replace(options.polygon, overlap=control.polygon_detail)


@dataclass(frozen=True)
class _Frame:
    """What all regions of one image share."""

    width: int
    height: int
    to_name: str
    item_index: int | None

    def instance_id(self, detection: int, target: int) -> str:
        item = "" if self.item_index is None else f"{self.item_index}:"
        return f"{item}{detection}" if target == 0 else f"{item}{detection}.{target}"

    def write(
        self, region_id: str, target: Target, value: dict[str, Any], score: float
    ) -> Iterator[Region]:
        """One result; two of the same id where a shape gets its label from a `<Labels>`."""
        control = target.control
        if control.labels_name is None:
            labelled = {**value, control.result_type: [target.tag.written]}
            yield self._result(region_id, control.result_type, control.name, labelled, score)
            return
        yield self._result(region_id, control.result_type, control.name, value, score)
        labelled = {**value, "labels": [target.tag.written]}
        yield self._result(region_id, "labels", control.labels_name, labelled, score)

    def _result(
        self, region_id: str, result_type: str, name: str, value: dict[str, Any], score: float
    ) -> Region:
        region = Region(
            id=region_id,
            type=result_type,
            from_name=name,
            to_name=self.to_name,
            original_width=self.width,
            original_height=self.height,
            image_rotation=0,
            score=round(score, _SCORE_DECIMALS),
            value=value,
        )
        if self.item_index is not None:
            region["item_index"] = self.item_index
        return region
