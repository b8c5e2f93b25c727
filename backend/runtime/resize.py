"""Image -> model input by the contract's rule, and coordinates back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from backend.runtime.contract import ResizeRule
from backend.runtime.image import DecodedImage

_INTERPOLATION = {
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "nearest": cv2.INTER_NEAREST,
}


@dataclass(frozen=True)
class ResizeGeometry:
    """Owns every conversion between pixels of the image and pixels of the model input.

    `input_*`: size of the model input; `scaled_*`: the part of it that shows the image (smaller
    than the input only where the rule pads); `offset_*`: where that part begins.
    """

    image_width: int
    image_height: int
    input_width: int
    input_height: int
    scaled_width: int
    scaled_height: int
    offset_x: int = 0
    offset_y: int = 0

    @property
    def scale_x(self) -> float:
        """Input pixels per image pixel, of the real integer sizes."""
        return self.scaled_width / self.image_width

    @property
    def scale_y(self) -> float:
        """Input pixels per image pixel, of the real integer sizes."""
        return self.scaled_height / self.image_height

    def boxes_to_image(self, boxes_xyxy_px: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Boxes [N,4] in pixels of the input -> in pixels of the image, clipped to it."""
        scale = np.array([self.scale_x, self.scale_y] * 2, np.float64)
        offset = np.array([self.offset_x, self.offset_y] * 2, np.float64)
        limit = np.array([self.image_width, self.image_height] * 2, np.float64)
        return np.clip((boxes_xyxy_px - offset) / scale, 0.0, limit).astype(np.float32)


def plan_resize(rule: ResizeRule, width: int, height: int) -> ResizeGeometry:
    """The sizes that an image of `width` x `height` gets. Sizes round half up, and are >= 1."""
    if rule.kind == "none":
        return ResizeGeometry(width, height, width, height, width, height)
    if rule.kind == "stretch":
        scaled = (rule.width, rule.height)
        return ResizeGeometry(width, height, *scaled, *scaled)
    if rule.kind in ("fit", "letterbox"):
        scale = min(rule.width / width, rule.height / height)
        scaled = (
            min(rule.width, _round(width * scale)),
            min(rule.height, _round(height * scale)),
        )
        centred = rule.kind == "letterbox"  # an odd rest leaves one more right and below
        offset = ((rule.width - scaled[0]) // 2, (rule.height - scaled[1]) // 2)
        return ResizeGeometry(
            width, height, rule.width, rule.height, *scaled, *(offset if centred else (0, 0))
        )
    scale = min(rule.short / min(width, height), rule.long / max(width, height))
    scaled = (_round(width * scale), _round(height * scale))
    return ResizeGeometry(width, height, *scaled, *scaled)


def resize_image(
    image: DecodedImage, rule: ResizeRule
) -> tuple[npt.NDArray[np.uint8], ResizeGeometry]:
    """The model input, u8 [1, H, W, 3] RGB, and the geometry that leads back."""
    geometry = plan_resize(rule, image.width, image.height)
    pixels = image.pixels
    size = (geometry.scaled_width, geometry.scaled_height)
    height, width = pixels.shape[:2]
    if size != (width, height):
        shrink = max(image.width / size[0], image.height / size[1])
        method = _INTERPOLATION[rule.interpolation]
        if shrink > rule.antialias_above:
            method = cv2.INTER_AREA
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=method), np.uint8)
    if size != (geometry.input_width, geometry.input_height):
        padded = np.full((geometry.input_height, geometry.input_width, 3), rule.pad, np.uint8)
        x, y = geometry.offset_x, geometry.offset_y
        padded[y : y + size[1], x : x + size[0]] = pixels
        pixels = padded
    return np.ascontiguousarray(pixels)[np.newaxis], geometry


def needed_size(rule: ResizeRule, width: int, height: int) -> tuple[int, int]:
    """Width and height that an image's pixels must have at least, so that a model sees no less.

    A model that resizes itself gets all of them, and so does one that is not to be antialiased.
    """
    geometry = plan_resize(rule, width, height)
    shrink = max(width / geometry.scaled_width, height / geometry.scaled_height)
    if shrink <= rule.antialias_above:
        return width, height
    return geometry.scaled_width, geometry.scaled_height


def _round(value: float) -> int:
    return max(1, int(value + 0.5))
