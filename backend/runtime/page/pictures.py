"""Instances as outlines over their image, for a page that zooms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop
from backend.runtime.outlines import trace

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


def draw(
    pixels: npt.NDArray[np.uint8],
    name: str,
    panels: Sequence[dict[str, Any]],
    size: tuple[int, int] | None = None,
) -> Drawn:
    """An image u8 [h, w, 3] RGB, shrunk where it is large.

    `size`: width and height that outlines count in, where it is not that of the pixels.
    """
    width, height = size or (pixels.shape[1], pixels.shape[0])
    rows, columns = pixels.shape[:2]
    scale = min(1.0, _LONGEST_PX / max(rows, columns))
    if scale < 1:
        shrunk = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        pixels = np.asarray(cv2.resize(pixels, shrunk, interpolation=cv2.INTER_AREA), np.uint8)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _QUALITY]
    )
    if not done:
        raise ValueError(f"the picture {name} cannot be written as JPEG")
    return Drawn(name, data.tobytes(), tuple(panels), width, height)


def box_path(box_xyxy_px: Sequence[float]) -> str:
    """SVG path data of a box."""
    x1, y1, x2, y2 = (round(float(v), 1) for v in box_xyxy_px)
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
