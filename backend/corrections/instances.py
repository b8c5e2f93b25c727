"""The regions of an annotation or a prediction -> instances.

Predictions of ours show one instance as several regions: parts of a polygon (`3-0`, `3-1`), and
further controls (`3.1-0`, docs/contract.md). Label Studio keeps these ids when a person corrects a
prediction, so that all of them are one instance here, too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from backend.labelstudio.region_masks import outline_percent, region_crop
from backend.runtime.detections import MaskCrop
from backend.runtime.overlap import box_ious
from backend.runtime.rasterise import union

Kind = Literal["polygon", "brush", "ellipse", "rectangle"]
Box = tuple[float, float, float, float]
Row = Mapping[str, Any]

_KINDS: dict[str, Kind] = {
    name: kind for kind in get_args(Kind) for name in (kind, f"{kind}labels")
}
_UNREAD = frozenset({"bitmask", "bitmasklabels", "vector", "vectorlabels"})  # they have an area
_OUR_ID = re.compile(r"(([0-9a-f]{8}-)?(?:\d+:)?\d+)(?:\.\d+)?-\d+")
_ORIGINS = ("prediction-changed", "manual", "", "prediction")  # the first one of parts counts
_MOST_PIXELS = 1 << 28  # sizes are what a stored annotation says, and masks cost memory
_SAME_BOX = 0.5  # IoU from which on a rectangle frames a mask of its label


@dataclass(frozen=True)
class Frame:
    """The image that a region lies on, as displayed: its tag, its place in a multi-image task
    (else 0), its size in pixels."""

    to_name: str
    item_index: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class View:
    """One control's regions of an instance.

    mask         exact pixels; None for a rectangle
    box_xyxy_px  pixel edges: of the mask, or the rectangle itself (all corners, where it is turned)
    region_ids   of its parts
    origin       as Label Studio says: "prediction", "prediction-changed" or "manual", else "". A
                 polygon that was moved may still say "prediction" (1.23.2)
    """

    kind: Kind
    control: str
    mask: MaskCrop | None
    box_xyxy_px: Box
    region_ids: tuple[str, ...]
    origin: str


@dataclass(frozen=True, eq=False)
class Instance:
    """One object in one image, whatever the number of its regions.

    label       as Label Studio stores it (the alias, where the label has one); of several the
                first; "" without one
    score       of the prediction that it comes from, None where there is none
    key         id that its regions share, else the id of its region
    views       one a control; never empty
    parent_ids  regions that Label Studio's tree has above its own
    """

    label: str
    score: float | None
    frame: Frame
    key: str
    views: tuple[View, ...]
    parent_ids: tuple[str, ...] = ()

    @property
    def main(self) -> View:
        """What stands for the instance: a mask before a rectangle, a corrected before another."""
        return min(self.views, key=lambda view: (view.mask is None, _ORIGINS.index(view.origin)))

    @property
    def kind(self) -> Kind:
        return self.main.kind

    @property
    def mask(self) -> MaskCrop | None:
        """Of the main view; None where there are rectangles only."""
        return self.main.mask

    @property
    def is_prompted(self) -> bool:
        """Whether it came as the answer to a prompt of ours."""
        return any((found := _OUR_ID.fullmatch(i)) and found[2] for i in self.region_ids)

    @property
    def has_mask(self) -> bool:
        return self.mask is not None

    @property
    def box_xyxy_px(self) -> Box:
        return self.main.box_xyxy_px

    @property
    def origin(self) -> str:
        return self.main.origin

    @property
    def region_ids(self) -> tuple[str, ...]:
        return tuple(region_id for view in self.views for region_id in view.region_ids)

    @property
    def area_px(self) -> float:
        """Of the mask, else of the box."""
        if self.mask is not None:
            return float(self.mask.area)
        x1, y1, x2, y2 = self.box_xyxy_px
        return (x2 - x1) * (y2 - y1)


@dataclass(frozen=True)
class Reading:
    """Instances in the order of their first region; `unread`: a reason a region with an area that
    could not be read."""

    instances: tuple[Instance, ...]
    unread: tuple[str, ...] = ()


def read_instances(result: Sequence[Row]) -> Reading:
    """The `result` of an annotation or a prediction -> instances.

    Points, relations, and answers for the whole image are no regions and are left aside.
    """
    objects = [item for item in result if isinstance(item, Mapping)]
    regions, unread = _regions(objects)
    unread += ["a region that is no object"] * (len(result) - len(objects))
    views: dict[tuple[Frame, str, str], dict[tuple[str, Kind], list[_Region]]] = {}
    for region in regions:
        parts = views.setdefault((region.frame, region.key, region.label), {})
        parts.setdefault((region.control, region.kind), []).append(region)
    instances = [
        Instance(
            label,
            next(
                (r.score for parts in of_key.values() for r in parts if r.score is not None), None
            ),
            frame,
            key,
            tuple(_view(parts) for parts in of_key.values()),
            tuple({r.parent: None for parts in of_key.values() for r in parts if r.parent}),
        )
        for (frame, key, label), of_key in views.items()
    ]
    return Reading(tuple(_framed(instances)), tuple(unread))


@dataclass(frozen=True, eq=False)
class _Region:
    region_id: str
    key: str
    label: str
    score: float | None
    frame: Frame
    kind: Kind
    control: str
    mask: MaskCrop | None
    box: Box
    origin: str
    parent: str


def _regions(result: Sequence[Row]) -> tuple[list[_Region], list[str]]:
    labels = _labels(result)
    found: dict[str, _Region] = {}
    unread: list[str] = []
    for item in result:
        region_id, kind = str(item.get("id") or ""), str(item.get("type") or "")
        if region_id in found:
            continue
        if kind in _UNREAD:
            unread.append(f"region {region_id}: '{kind}' is not understood")
        elif kind in _KINDS:
            try:
                found[region_id] = _region(item, region_id, labels.get(region_id, ""))
            except (KeyError, TypeError, ValueError, OverflowError) as error:
                unread.append(f"region {region_id}: {type(error).__name__}: {error}")
    return list(found.values()), unread


def _labels(result: Sequence[Row]) -> dict[str, str]:
    """The label of each region, which may stand in a result of its own."""
    labels: dict[str, str] = {}
    for item in result:
        value, kind = item.get("value"), str(item.get("type") or "")
        names = value.get(kind) if isinstance(value, Mapping) and kind.endswith("labels") else None
        if isinstance(names, list) and names:
            labels.setdefault(str(item.get("id") or ""), str(names[0]))
    return labels


def _region(item: Row, region_id: str, label: str) -> _Region:
    """Raises KeyError, TypeError, ValueError or OverflowError for a damaged one."""
    width, height = int(item["original_width"]), int(item["original_height"])
    if width < 1 or height < 1 or width * height > _MOST_PIXELS:
        raise ValueError(f"an image of {width}x{height} pixels")
    if item.get("image_rotation"):
        raise ValueError("the image was turned in Label Studio")
    ours = _OUR_ID.fullmatch(region_id)
    kind = _KINDS[item["type"]]
    mask, box = _shape(item, kind, width, height)
    origin = str(item.get("origin") or "")
    score = item.get("score")
    return _Region(
        region_id,
        ours[1] if ours else region_id,
        label,
        None if score is None else float(score),
        Frame(str(item.get("to_name") or ""), int(item.get("item_index") or 0), width, height),
        kind,
        str(item.get("from_name") or ""),
        mask,
        box,
        origin if origin in _ORIGINS else "",
        str(item.get("parentID") or ""),
    )


def _shape(item: Row, kind: Kind, width: int, height: int) -> tuple[MaskCrop | None, Box]:
    if kind == "rectangle":
        corners = outline_percent(item)
        if corners is None:
            raise ValueError("a rectangle without width and height")
        corners = corners / 100 * (width, height)
        (left, top), (right, bottom) = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
        if not all(map(np.isfinite, (left, top, right, bottom))):
            raise ValueError("a rectangle that is not finite")
        return None, (left, top, right, bottom)
    mask = region_crop(item, width, height)
    if mask is None:
        raise ValueError(f"a damaged {kind}")
    return mask, _box(mask)


def _box(mask: MaskCrop) -> Box:
    rows, columns = mask.pixels.shape
    return float(mask.x), float(mask.y), float(mask.x + columns), float(mask.y + rows)


def _view(parts: Sequence[_Region]) -> View:
    ids = tuple(part.region_id for part in parts)
    origin = min((part.origin for part in parts), key=_ORIGINS.index)
    first = parts[0]
    if first.kind == "rectangle":
        boxes = np.array([part.box for part in parts])
        left, top = boxes[:, :2].min(axis=0).tolist()
        right, bottom = boxes[:, 2:].max(axis=0).tolist()
        return View("rectangle", first.control, None, (left, top, right, bottom), ids, origin)
    mask = union([part.mask for part in parts if part.mask is not None])
    return View(first.kind, first.control, mask, _box(mask), ids, origin)


def _framed(instances: list[Instance]) -> list[Instance]:
    """A rectangle that a person drew around a mask of the same label is the same instance."""
    boxed = [i for i, each in enumerate(instances) if each.mask is None]
    masked = [i for i, each in enumerate(instances) if _is_mask_alone(each)]
    if not boxed or not masked:
        return instances
    boxes = np.array([each.box_xyxy_px for each in instances], np.float64)
    ious = box_ious(boxes[masked], boxes[boxed])
    pairs = sorted(
        (-float(ious[m, b]), masked[m], boxed[b])
        for m, b in np.argwhere(ious >= _SAME_BOX).tolist()
        if instances[masked[m]].label == instances[boxed[b]].label
        and instances[masked[m]].frame == instances[boxed[b]].frame
    )
    joined: dict[int, int] = {}
    for _, mask, box in pairs:
        if mask not in joined and box not in joined.values():
            joined[mask] = box
    gone = set(joined.values())
    return [
        _join(each, instances[joined[i]]) if i in joined else each
        for i, each in enumerate(instances)
        if i not in gone
    ]


def _is_mask_alone(instance: Instance) -> bool:
    return all(view.kind != "rectangle" for view in instance.views)


def _join(mask: Instance, box: Instance) -> Instance:
    return replace(
        mask,
        score=mask.score if mask.score is not None else box.score,
        views=(*mask.views, *box.views),
        parent_ids=tuple({**dict.fromkeys(mask.parent_ids), **dict.fromkeys(box.parent_ids)}),
    )
