"""The regions of an annotation or a prediction -> instances.

Predictions of ours show one instance as several regions: parts of a polygon (`3-0`, `3-1`), and
further controls (`3.1-0`). Label Studio keeps these ids when a person corrects a
prediction, so that all of them are one instance here, too. Other tools' ids may look alike: see
our_ids.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backend.corrections.our_ids import is_one_instance, our_id
from backend.corrections.regions import ORIGINS, Box, Frame, Kind, Region, Row, box_of, read_regions
from backend.runtime.detections import MaskCrop
from backend.runtime.overlap import near_boxes
from backend.runtime.rasterise import union

_SAME_BOX = 0.5  # IoU from which on a rectangle frames a mask of its label


@dataclass(frozen=True, eq=False)
class View:
    """One control's regions of an instance.

    mask         exact pixels; None for a rectangle
    box_xyxy_px  pixel edges: of the mask, or the rectangle itself (all corners, where it is turned)
    region_ids   of its parts; none of those without an id, or whose id another shape has, too
    origin       as Label Studio says: "prediction", "prediction-changed" or "manual", else "". A
                 polygon that was moved may still say "prediction" (1.23.2)
    positions    of its parts in the result that they were read from
    """

    kind: Kind
    control: str
    mask: MaskCrop | None
    box_xyxy_px: Box
    region_ids: tuple[str, ...]
    origin: str
    positions: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Instance:
    """One object in one image, whatever the number of its regions.

    label       as Label Studio stores it (the alias, where the label has one); of several the
                first; "" without one
    score       of the prediction that it comes from, None where there is none
    key         what the ids of its regions share, else the id of its region; `#` and its place
                among the results where it has no id of its own
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
        return min(self.views, key=lambda view: (view.mask is None, ORIGINS.index(view.origin)))

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
        return any((found := our_id(i)) and found.prefix for i in self.region_ids)

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
    regions, unread = read_regions(result)
    instances = []
    for key, parts in _together(regions):
        views: dict[tuple[str, Kind], list[Region]] = {}
        for part in parts:
            views.setdefault((part.control, part.kind), []).append(part)
        instances.append(
            Instance(
                parts[0].label,
                next((part.score for part in parts if part.score is not None), None),
                parts[0].frame,
                key,
                tuple(_view(of_control) for of_control in views.values()),
                tuple(dict.fromkeys(part.parent for part in parts if part.parent)),
            )
        )
    return Reading(tuple(_framed(instances)), tuple(unread))


def _together(regions: Sequence[Region]) -> list[tuple[str, list[Region]]]:
    """Keys and regions of each instance, in the order of the first region."""
    groups: dict[Hashable, list[Region]] = {}
    for region in regions:
        found = our_id(region.region_id)
        group = region.position if found is None else (region.frame, region.label, found.instance)
        groups.setdefault(group, []).append(region)
    together = []
    for parts in groups.values():
        found = our_id(parts[0].region_id)
        if found is not None and is_one_instance(parts):
            together.append((found.instance, parts))
        else:
            together += [(part.key, [part]) for part in parts]
    return sorted(together, key=lambda each: each[1][0].position)


def _view(parts: Sequence[Region]) -> View:
    ids = tuple(part.region_id for part in parts if part.region_id)
    places = tuple(part.position for part in parts)
    origin = min((part.origin for part in parts), key=ORIGINS.index)
    first = parts[0]
    if first.kind == "rectangle":
        boxes = np.array([part.box for part in parts])
        left, top = boxes[:, :2].min(axis=0).tolist()
        right, bottom = boxes[:, 2:].max(axis=0).tolist()
        return View(
            "rectangle", first.control, None, (left, top, right, bottom), ids, origin, places
        )
    mask = union([part.mask for part in parts if part.mask is not None])
    return View(first.kind, first.control, mask, box_of(mask), ids, origin, places)


def _framed(instances: list[Instance]) -> list[Instance]:
    """A rectangle that a person drew around a mask of the same label is the same instance."""
    boxed = [i for i, each in enumerate(instances) if each.mask is None]
    masked = [i for i, each in enumerate(instances) if _is_mask_alone(each)]
    if not boxed or not masked:
        return instances
    boxes = np.array([each.box_xyxy_px for each in instances], np.float64)
    pairs = sorted(
        (-iou, masked[m], boxed[b])
        for m, b, iou in near_boxes(boxes[masked], boxes[boxed], _SAME_BOX)
        if instances[masked[m]].label == instances[boxed[b]].label
        and instances[masked[m]].frame == instances[boxed[b]].frame
    )
    joined: dict[int, int] = {}
    gone: set[int] = set()
    for _, mask, box in pairs:
        if mask not in joined and box not in gone:
            joined[mask] = box
            gone.add(box)
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
