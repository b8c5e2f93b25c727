"""What an annotator has drawn with smart tools: `params.context` of a /predict.

Label Studio 1.23.2 sends key points (with `is_positive`, false with the Alt key held) and
rectangles, each time with all those drawn before; smart brushes send nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LABEL_KEYS = ("keypointlabels", "rectanglelabels", "labels")


@dataclass(frozen=True)
class Prompts:
    """The prompts on one image, in percent of its width and height as displayed.

    from_name   the control of the last one; `to_name`, `item_index`: the image
    label       of the last positive one that has one; None where none has
    points      x, y, and whether the object is there
    boxes       left, top, right, bottom
    """

    from_name: str
    to_name: str
    item_index: int | None
    label: str | None
    points: tuple[tuple[float, float, bool], ...]
    boxes: tuple[tuple[float, float, float, float], ...]


def read_prompts(context: object) -> Prompts | None:
    """The prompts on the image of the last one; None where there is none that can be used.

    What is no prompt, or damaged, or on another image, is left aside.
    """
    result = context.get("result") if isinstance(context, Mapping) else None
    drawn = [item for item in result if _is_prompt(item)] if isinstance(result, list) else []
    if not drawn:
        return None
    last = drawn[-1]
    place = _place(last)
    here = [item for item in drawn if _place(item) == place]
    points = tuple(p for item in here if (p := _point(item)) is not None)
    boxes = tuple(b for item in here if (b := _box(item)) is not None)
    if not boxes and not any(positive for _, _, positive in points):
        return None
    labels = [label for item in here if _is_positive(item) and (label := _label(item["value"]))]
    return Prompts(last["from_name"], *place, labels[-1] if labels else None, points, boxes)


def _is_prompt(item: object) -> bool:
    if not isinstance(item, Mapping) or not isinstance(item.get("value"), Mapping):
        return False
    named = isinstance(item.get("from_name"), str) and isinstance(item.get("to_name"), str)
    return named and (_point(item) is not None or _box(item) is not None)


def _is_positive(item: Mapping[str, Any]) -> bool:
    point = _point(item)
    return point is None or point[2]


def _place(item: Mapping[str, Any]) -> tuple[str, int | None]:
    index = item.get("item_index")
    return item["to_name"], index if isinstance(index, int) else None


def _point(item: Mapping[str, Any]) -> tuple[float, float, bool] | None:
    if not str(item.get("type", "")).startswith("keypoint"):
        return None
    numbers = _numbers(item["value"], "x", "y")
    if numbers is None:
        return None
    positive = item.get("is_positive", item["value"].get("is_positive", True))
    return numbers[0], numbers[1], bool(positive)


def _box(item: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """A turned rectangle is read as the upright one around it."""
    if not str(item.get("type", "")).startswith("rectangle"):
        return None
    value = item["value"]
    numbers = _numbers(value, "x", "y", "width", "height")
    if numbers is None or numbers[2] <= 0 or numbers[3] <= 0:
        return None
    x, y, width, height = numbers
    # Turned around its top left corner, in pixels, so the image's shape matters.
    sides = _numbers(item, "original_width", "original_height") or (1.0, 1.0)
    aspect = sides[0] / sides[1] if sides[1] else 1.0
    angle = math.radians((_numbers(value, "rotation") or (0.0,))[0])
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [
        (x + a * cos - b / aspect * sin, y + a * aspect * sin + b * cos)
        for a, b in ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    ]
    across, down = zip(*corners, strict=True)
    return min(across), min(down), max(across), max(down)


def _numbers(value: Mapping[str, Any], *names: str) -> tuple[float, ...] | None:
    found = []
    for name in names:
        number = value.get(name)
        if isinstance(number, bool) or not isinstance(number, int | float):
            return None
        if not math.isfinite(number):
            return None
        found.append(float(number))
    return tuple(found)


def _label(value: Mapping[str, Any]) -> str | None:
    for key in _LABEL_KEYS:
        labels = value.get(key)
        if isinstance(labels, list) and labels and isinstance(labels[0], str):
            return labels[0]
    return None
