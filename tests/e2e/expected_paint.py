"""What the canvas should show of a stored prediction."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from backend.labelstudio.brush_rle import decode_brush

Mask = npt.NDArray[np.bool_]


def region_mask(region: Mapping[str, Any]) -> Mask:
    """The pixels of one region, bool [original_height, original_width]."""
    width, height = region["original_width"], region["original_height"]
    value = region["value"]
    if "rle" in value:
        return decode_brush(value["rle"], width, height)
    if "points" in value:
        points = np.array(value["points"]) * [width / 100, height / 100]
    else:
        left, top = value["x"] * width / 100, value["y"] * height / 100
        right, bottom = left + value["width"] * width / 100, top + value["height"] * height / 100
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    encoded = coco_mask.frPyObjects([points.ravel().tolist()], height, width)
    with warnings.catch_warnings():
        # pycocotools 2.0.11 converts its arrays in a way that numpy 2 wants to give up.
        warnings.simplefilter("ignore", DeprecationWarning)
        return np.asarray(coco_mask.decode(encoded)[..., 0], bool)


def union(regions: Iterable[Mapping[str, Any]]) -> Mask:
    """The pixels of all regions of one image together."""
    return np.logical_or.reduce([region_mask(region) for region in regions])


def overlap(one: Mask, other: Mask) -> float:
    """IoU of two masks of the same size."""
    either = int((one | other).sum())
    return int((one & other).sum()) / either if either else 1.0


@dataclass(frozen=True)
class Painting:
    """What the page's canvas shows of some regions.

    paint: where there is paint, bool [H,W]
    photo_xywh_px: where the photo lies on the canvas; it may reach beyond
    """

    paint: Mask
    photo_xywh_px: tuple[float, float, float, float]

    def misplaced(self, expected: Mask, slack_px: int = 3) -> float:
        """The share of paint that is wrong: missing inside `expected`, or found outside of it.

        expected: bool [h,w] of the photo
        slack_px: outlines are drawn as strokes; nearer than this to an edge nothing is wrong
        """
        height, width = self.paint.shape
        left, top, photo_width, photo_height = self.photo_xywh_px
        rows, columns = expected.shape
        to_canvas = np.array([[photo_width / columns, 0, left], [0, photo_height / rows, top]])
        placed = cv2.warpAffine(
            expected.astype(np.uint8), to_canvas, (width, height), flags=cv2.INTER_NEAREST
        )
        side = 2 * slack_px + 1
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        missing = cv2.erode(placed, disc).astype(bool) & ~self.paint
        surplus = self.paint & ~cv2.dilate(placed, disc).astype(bool)
        return int(missing.sum() + surplus.sum()) / max(1, int(placed.sum()))
