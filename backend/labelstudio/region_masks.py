"""Regions of annotations and predictions -> pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from backend.labelstudio.brush_rle import decode_brush
from backend.runtime.detections import MaskCrop
from backend.runtime.rasterise import rasterise_polygon

Mask = npt.NDArray[np.bool_]
F64 = npt.NDArray[np.float64]
_FULL_TURN = 2 * math.pi
_ELLIPSE_CORNERS = 360
MOST_PIXELS = 128_000_000
"""Of an image that a region may say it lies on, since masks cost memory; twice what images have by
default."""


def region_crop(region: Mapping[str, Any], width: int, height: int) -> MaskCrop | None:
    """The pixels of a polygon, rectangle, ellipse or brush region; None for others, and damaged.

    `width`, `height`: of the mask that is wanted. Polygons are exact by pycocotools' rule, and so
    are brush masks of that size; those of another size are shrunk or enlarged.
    """
    try:
        return crop_of_region(region, width, height)
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def crop_of_region(region: Mapping[str, Any], width: int, height: int) -> MaskCrop:
    """As `region_crop`; raises KeyError, TypeError, ValueError or OverflowError with the reason."""
    value = region["value"]
    if not isinstance(value, Mapping):
        raise TypeError("it has no value")
    if value.get("format") == "rle" or "rle" in value:
        return _brush(region, value, width, height)
    points = outline_percent(region)
    if points is None:
        raise ValueError("it has no shape")
    return rasterise_polygon(points / 100 * (width, height), width, height)


def region_mask(region: Mapping[str, Any], width: int, height: int) -> Mask | None:
    """As `region_crop`, as bool [height, width]: for small sizes only."""
    crop = region_crop(region, width, height)
    if crop is None:
        return None
    frame = np.zeros((height, width), np.bool_)
    rows, columns = crop.pixels.shape
    frame[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
    return frame


def outline_percent(region: Mapping[str, Any]) -> F64 | None:
    """Corners [n, 2] (x, y in percent) of a polygon, rectangle or ellipse; None for others.

    Raises KeyError, TypeError or ValueError for damaged ones.
    """
    value = region["value"]
    if "points" in value:
        points = np.asarray(value["points"], np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise ValueError(f"a polygon is three points [x, y] or more, but got {points.shape}")
        return points
    if "radiusX" in value:
        return _ellipse_points(value, region)
    if "width" in value and "height" in value:
        return _rectangle_points(value, region)
    return None


def _brush(
    region: Mapping[str, Any], value: Mapping[str, Any], width: int, height: int
) -> MaskCrop:
    size = int(region["original_width"]), int(region["original_height"])
    if size[0] * size[1] > MOST_PIXELS:
        raise ValueError(f"an image of {size[0]}x{size[1]} pixels")
    mask = decode_brush(value["rle"], *size)
    if size != (width, height):
        small = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
        mask = np.asarray(small > 0)
    return MaskCrop(0, 0, mask).trimmed()


def _rectangle_points(value: Mapping[str, Any], region: Mapping[str, Any]) -> F64:
    """Label Studio turns a rectangle around its top left corner, in pixels."""
    across, down = _pixels_per_percent(region)
    x, y = float(value["x"]) * across, float(value["y"]) * down
    w, h = float(value["width"]) * across, float(value["height"]) * down
    angle = math.radians(float(value.get("rotation") or 0))
    cos, sin = math.cos(angle), math.sin(angle)
    corners = [(0.0, 0.0), (w, 0.0), (w, h), (0.0, h)]
    return np.array(
        [((x + a * cos - b * sin) / across, (y + a * sin + b * cos) / down) for a, b in corners]
    )


def _ellipse_points(value: Mapping[str, Any], region: Mapping[str, Any]) -> F64:
    """Label Studio turns an ellipse around its centre, in pixels."""
    across, down = _pixels_per_percent(region)
    angles = np.linspace(0, _FULL_TURN, _ELLIPSE_CORNERS, endpoint=False)
    radii = float(value["radiusX"]) * across, float(value["radiusY"]) * down
    if not all(map(math.isfinite, radii)):
        raise ValueError("an ellipse that is not finite")
    a, b = radii[0] * np.cos(angles), radii[1] * np.sin(angles)
    turn = math.radians(float(value.get("rotation") or 0))
    x = float(value["x"]) + (a * math.cos(turn) - b * math.sin(turn)) / across
    y = float(value["y"]) + (a * math.sin(turn) + b * math.cos(turn)) / down
    return np.stack([x, y], axis=1)


def _pixels_per_percent(region: Mapping[str, Any]) -> tuple[float, float]:
    across = float(region.get("original_width") or 100) / 100
    return across, float(region.get("original_height") or 100) / 100
