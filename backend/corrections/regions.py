"""The `result` of an annotation or a prediction -> its regions, read one by one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from backend.labelstudio.region_masks import MOST_PIXELS, crop_of_region, outline_percent
from backend.runtime.detections import MaskCrop

Kind = Literal["polygon", "brush", "ellipse", "rectangle"]
Box = tuple[float, float, float, float]
Row = Mapping[str, Any]

ORIGINS = ("prediction-changed", "manual", "", "prediction")
_KINDS: dict[str, Kind] = {
    name: kind for kind in get_args(Kind) for name in (kind, f"{kind}labels")
}
_UNREAD = frozenset({"bitmask", "bitmasklabels", "vector", "vectorlabels"})  # they have an area


@dataclass(frozen=True)
class Frame:
    """The image that a region lies on, as displayed: its tag, its place in a multi-image task
    (else 0), its size in pixels."""

    to_name: str
    item_index: int
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class Region:
    """position   in the result
    region_id  "" where it has none, or where another shape has it, too
    label      "" without one
    score      None where there is none, or none that is finite
    mask       exact pixels; None for a rectangle
    box        x1, y1, x2, y2 in pixels: of the mask, or of the rectangle within the image
    origin     one of ORIGINS
    parent     id of the region above it in Label Studio's tree, else ""
    """

    position: int
    region_id: str
    label: str
    score: float | None
    frame: Frame
    kind: Kind
    control: str
    mask: MaskCrop | None
    box: Box
    origin: str
    parent: str

    @property
    def key(self) -> str:
        """What it is called: its id, else its place among the results, as `#2`."""
        return self.region_id or f"#{self.position}"


def read_regions(result: Sequence[object]) -> tuple[list[Region], list[str]]:
    """Regions with an area, in their order, and a reason for each that could not be read.

    Results of one id and one shape are one region, as Label Studio writes it. Regions without an
    id count, and so do further shapes of an id that is taken.
    """
    labels = _labels(result)
    found: list[Region] = []
    by_id: dict[str, list[Region]] = {}
    unread: list[str] = []
    for position, item in enumerate(result):
        if not isinstance(item, Mapping):
            unread.append("a region that is no object")
            continue
        region_id, kind = id_of(item), str(item.get("type") or "")
        name = region_id or f"#{position}"
        if kind in _UNREAD:
            unread.append(f"region {name}: '{kind}' is not understood")
        if kind not in _KINDS:
            continue
        try:
            region = _region(item, position, _label(item) or labels.get(region_id, ""))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            unread.append(f"region {name}: {type(error).__name__}: {error}")
            continue
        known = by_id.setdefault(region_id, []) if region_id else []
        if any(_is_same(region, each) for each in known):
            continue
        found.append(region if not known else replace(region, region_id=""))
        known.append(region)
    return found, unread


def id_of(item: Row) -> str:
    """The id of a result; "" without one."""
    return "" if item.get("id") is None else str(item["id"])


def box_of(mask: MaskCrop) -> Box:
    """Pixel edges of a mask's crop."""
    rows, columns = mask.pixels.shape
    return float(mask.x), float(mask.y), float(mask.x + columns), float(mask.y + rows)


def _is_same(one: Region, other: Region) -> bool:
    if (one.frame, one.kind, one.box) != (other.frame, other.kind, other.box):
        return False
    if one.mask is None or other.mask is None:
        return one.mask is other.mask
    return np.array_equal(one.mask.pixels, other.mask.pixels)


def _labels(result: Sequence[object]) -> dict[str, str]:
    """The label of each id, which may stand in a result of its own."""
    labels: dict[str, str] = {}
    for item in result:
        if isinstance(item, Mapping) and id_of(item) and (label := _label(item)):
            labels.setdefault(id_of(item), label)
    return labels


def _label(item: Row) -> str:
    value, kind = item.get("value"), str(item.get("type") or "")
    names = value.get(kind) if isinstance(value, Mapping) and kind.endswith("labels") else None
    return str(names[0]) if isinstance(names, list) and names else ""


def _region(item: Row, position: int, label: str) -> Region:
    """Raises KeyError, TypeError, ValueError or OverflowError for a damaged one."""
    width, height = int(item["original_width"]), int(item["original_height"])
    if width < 1 or height < 1 or width * height > MOST_PIXELS:
        raise ValueError(f"an image of {width}x{height} pixels")
    if item.get("image_rotation"):
        raise ValueError("the image was turned in Label Studio")
    item_index = int(item.get("item_index") or 0)
    if item_index < 0:
        raise ValueError(f"the image number {item_index}")
    kind = _KINDS[item["type"]]
    mask, box = _shape(item, kind, width, height)
    origin = str(item.get("origin") or "")
    score = float("nan") if item.get("score") is None else float(item["score"])
    return Region(
        position,
        id_of(item),
        label,
        score if math.isfinite(score) else None,
        Frame(str(item.get("to_name") or ""), item_index, width, height),
        kind,
        str(item.get("from_name") or ""),
        mask,
        box,
        origin if origin in ORIGINS else "",
        str(item.get("parentID") or ""),
    )


def _shape(item: Row, kind: Kind, width: int, height: int) -> tuple[MaskCrop | None, Box]:
    if kind == "rectangle":
        return None, _rectangle(item, width, height)
    try:
        mask = crop_of_region(item, width, height)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"a damaged {kind}: {error}") from error
    return mask, box_of(mask)


def _rectangle(item: Row, width: int, height: int) -> Box:
    """Around all corners, within the image."""
    corners = outline_percent(item)
    if corners is None:
        raise ValueError("a rectangle without width and height")
    corners = corners / 100 * (width, height)
    if not np.isfinite(corners).all():
        raise ValueError("a rectangle that is not finite")
    low, high = np.clip([corners.min(axis=0), corners.max(axis=0)], 0, (width, height))
    if not (low < high).all():
        raise ValueError("a rectangle with nothing within the image")
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    return left, top, right, bottom
