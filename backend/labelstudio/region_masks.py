"""Regions of annotations and predictions -> pixels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from backend.labelstudio.brush_rle import decode_brush

Mask = npt.NDArray[np.bool_]
_SHIFT = 4  # bits of a pixel's fraction that OpenCV's polygons take


def region_mask(region: Mapping[str, Any], width: int, height: int) -> Mask | None:
    """bool [height, width] of a polygon, rectangle, ellipse or brush region; None for others.

    `width`, `height`: of the mask that is wanted, whatever the size of the image.
    """
    value = region.get("value")
    if not isinstance(value, Mapping):
        return None
    try:
        if value.get("format") == "rle" or "rle" in value:
            return _brush(region, value, width, height)
        if "points" in value:
            return _polygon(np.asarray(value["points"], np.float64), width, height)
        if "radiusX" in value:
            return _polygon(_ellipse_points(value, region), width, height)
        if "width" in value and "height" in value:
            return _polygon(_rectangle_points(value, region), width, height)
    except (KeyError, TypeError, ValueError):
        return None
    return None


def _brush(region: Mapping[str, Any], value: Mapping[str, Any], width: int, height: int) -> Mask:
    size = int(region["original_width"]), int(region["original_height"])
    mask = decode_brush(value["rle"], *size)
    if size == (width, height):
        return mask
    small = cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small > 0)


def _polygon(points_percent: npt.NDArray[np.float64], width: int, height: int) -> Mask:
    """Points are edge coordinates. Pixels that the outline touches count: good for shares only."""
    points = points_percent / 100 * (width, height) - 0.5
    fixed = np.round(points * (1 << _SHIFT)).astype(np.int32)
    canvas = np.zeros((height, width), np.uint8)
    if len(fixed) >= 3:
        cv2.fillPoly(canvas, [fixed.reshape(-1, 1, 2)], 1, lineType=cv2.LINE_8, shift=_SHIFT)
    return canvas.astype(bool)


def _rectangle_points(
    value: Mapping[str, Any], region: Mapping[str, Any]
) -> npt.NDArray[np.float64]:
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


def _ellipse_points(value: Mapping[str, Any], region: Mapping[str, Any]) -> npt.NDArray[np.float64]:
    """Label Studio turns an ellipse around its centre, in pixels."""
    across, down = _pixels_per_percent(region)
    angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    a = float(value["radiusX"]) * across * np.cos(angles)
    b = float(value["radiusY"]) * down * np.sin(angles)
    turn = math.radians(float(value.get("rotation") or 0))
    x = float(value["x"]) + (a * math.cos(turn) - b * math.sin(turn)) / across
    y = float(value["y"]) + (a * math.sin(turn) + b * math.cos(turn)) / down
    return np.stack([x, y], axis=1)


def _pixels_per_percent(region: Mapping[str, Any]) -> tuple[float, float]:
    across = float(region.get("original_width") or 100) / 100
    return across, float(region.get("original_height") or 100) / 100
