"""Instances as outlines over their image, for a page that zooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from backend.runtime.detections import MaskCrop
from backend.runtime.image import decode_image
from backend.runtime.outlines import trace
from converter.match import Alone, Matching, Side

_LONGEST_PX = 1280  # of a picture in a page
_QUALITY = 82


@dataclass(frozen=True)
class Drawn:
    """A picture of a page: `image` JPEG bytes; `panels`: JSON, one a side."""

    name: str
    image: bytes
    panels: tuple[dict[str, Any], ...]
    width: int
    height: int


def draw(path: Path, name: str, panels: Sequence[dict[str, Any]]) -> Drawn:
    """The image at `path`, shrunk where it is large; outlines stay in pixels of the original."""
    pixels = decode_image(path.read_bytes()).pixels
    height, width = pixels.shape[:2]
    scale = min(1.0, _LONGEST_PX / max(height, width))
    if scale < 1:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise ValueError(f"the picture {name} cannot be written as JPEG")
    return Drawn(name, data.tobytes(), tuple(panels), width, height)


def panel(
    title: str, side: Side, labels: Sequence[str], matching: Matching, *, first: bool
) -> dict[str, Any]:
    """One model's instances that count in a matching: matched ones, and those alone with why.

    `first`: the side is the matching's `one`.
    """
    alone: Mapping[int, Alone] = {
        each.row: each for each in (matching.only_one if first else matching.only_other)
    }
    matched = {pair.one if first else pair.other: pair for pair in matching.pairs}
    instances = []
    for row in sorted({*alone, *matched}, key=lambda row: float(side.scores[row])):
        shape = _shape(side, row)
        instance = {
            "label": labels[int(side.labels[row])],
            "score": round(float(side.scores[row]), 4),
            "path": shape,
            "state": "alone" if row in alone else "matched",
        }
        if row in alone:
            instance["why"] = alone[row].reason
        elif matched[row].mask_iou is not None:
            instance["mask_iou"] = round(float(matched[row].mask_iou or 0), 4)
        instances.append(instance)
    return {"title": title, "instances": instances}


def truth_panel(side: Side, labels: Sequence[str]) -> dict[str, Any]:
    """Annotated instances, the smallest on top."""
    order = sorted(range(len(side)), key=lambda row: -_area(side, row))
    instances = [
        {"label": labels[int(side.labels[row])], "path": _shape(side, row), "state": "truth"}
        for row in order
    ]
    return {"title": "ground truth", "instances": instances}


def _area(side: Side, row: int) -> float:
    x1, y1, x2, y2 = (float(v) for v in side.boxes_xyxy_px[row])
    return (x2 - x1) * (y2 - y1)


def _shape(side: Side, row: int) -> str:
    if side.masks is not None and side.masks[row].pixels.size:
        return mask_path(side.masks[row])
    x1, y1, x2, y2 = (round(float(v), 1) for v in side.boxes_xyxy_px[row])
    return f"M{x1:g} {y1:g}H{x2:g}V{y2:g}H{x1:g}Z"


def mask_path(mask: MaskCrop) -> str:
    """SVG path data of a mask's exact pixel edges, holes included."""
    rings = [ring for part in trace(mask) for ring in (part.outer, *part.holes)]
    return "".join(_ring_path(np.rint(ring).astype(np.int64)) for ring in rings)


def _ring_path(ring: np.ndarray) -> str:
    """Steps along one axis are written as h and v, which is shortest."""
    parts = [f"M{ring[0, 0]} {ring[0, 1]}"]
    for dx, dy in np.diff(ring, axis=0).tolist():
        parts.append(f"h{dx}" if dy == 0 else f"v{dy}" if dx == 0 else f"l{dx} {dy}")
    return "".join([*parts, "z"])
