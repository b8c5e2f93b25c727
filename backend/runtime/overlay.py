"""Detections drawn over their image, for people."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from backend.runtime.detections import Detections

U8 = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_SMALLEST_SIDE = 640  # smaller photos are drawn enlarged, so that names stay readable
_LARGEST_SIDE = 4096
_GOLDEN_RATIO = 0.618034  # steps of it around the circle stay apart, however many
_LIGHTNESS = (0.45, 0.58, 0.36)
_FILL = 0.4


@cache
def label_colours(names: tuple[str, ...]) -> tuple[Colour, ...]:
    """RGB of each of a model's labels, in overlays and label configs; neighbours differ most."""
    return tuple(_colour(index) for index in range(len(names)))


def _colour(index: int) -> Colour:
    hue = (0.03 + index * _GOLDEN_RATIO) % 1
    red, green, blue = colorsys.hls_to_rgb(hue, _LIGHTNESS[index % len(_LIGHTNESS)], 0.85)
    return round(red * 255), round(green * 255), round(blue * 255)


def draw_overlay(pixels: U8, found: Detections, names: tuple[str, ...]) -> U8:
    """The photo with masks, contours, names and scores.

    `pixels` u8 [h, w, 3] RGB; `names` by label index. Returns u8 RGB, enlarged or shrunk where the
    photo's long side is below 640 or above 4096 pixels.
    """
    long_side = max(pixels.shape[:2])
    scale = min(max(1.0, _SMALLEST_SIDE / long_side), _LARGEST_SIDE / long_side)
    size = (max(1, round(found.width * scale)), max(1, round(found.height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    canvas = pixels.copy() if scale == 1.0 else cv2.resize(pixels, size, interpolation=method)
    canvas = np.ascontiguousarray(canvas, np.uint8)
    thickness = max(1, round(max(size) / 500))
    colours = label_colours(names)
    # The best is drawn last, on top of what it overlaps.
    for i in reversed(range(len(found))):
        colour = colours[int(found.labels[i])]
        if found.masks is not None:
            _draw_mask(canvas, found, i, scale, colour, thickness)
        else:
            x1, y1, x2, y2 = (round(float(v) * scale) for v in found.boxes_xyxy_px[i])
            cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness, cv2.LINE_AA)
    return _draw_names(canvas, found, names, scale)


def encode_png(pixels: U8) -> bytes:
    """u8 [h, w, 3] RGB -> the bytes of a PNG file."""
    done, data = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))
    if not done:
        raise ValueError("the picture cannot be written as PNG")
    return data.tobytes()


def _draw_mask(
    canvas: U8, found: Detections, i: int, scale: float, colour: Colour, thickness: int
) -> None:
    assert found.masks is not None  # noqa: S101 - the caller has looked
    crop = found.masks[i]
    if crop.pixels.size == 0:
        return
    left, top = round(crop.x * scale), round(crop.y * scale)
    height = min(canvas.shape[0] - top, max(1, round(crop.pixels.shape[0] * scale)))
    width = min(canvas.shape[1] - left, max(1, round(crop.pixels.shape[1] * scale)))
    if height < 1 or width < 1:
        return
    mask = crop.pixels.view(np.uint8)
    if mask.shape != (height, width):
        mask = np.asarray(
            cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8
        )
    area = canvas[top : top + height, left : left + width]
    inside = mask.astype(np.bool_)
    mixed = area[inside] * (1 - _FILL) + np.array(colour) * _FILL
    area[inside] = mixed.astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(left, top))
    cv2.drawContours(canvas, contours, -1, (255, 255, 255), thickness + 1, cv2.LINE_AA)
    cv2.drawContours(canvas, contours, -1, colour, thickness, cv2.LINE_AA)


@dataclass(frozen=True)
class _Tag:
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: _Tag) -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )

    def moved(self, down: float) -> _Tag:
        return _Tag(self.left, self.top + down, self.right, self.bottom + down)


def _draw_names(canvas: U8, found: Detections, names: tuple[str, ...], scale: float) -> U8:
    picture = Image.fromarray(canvas)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.load_default(max(11, round(max(canvas.shape[:2]) / 52)))
    placed: list[_Tag] = []
    for i in range(len(found)):
        name = names[int(found.labels[i])]
        text = f"{name} {found.scores[i]:.2f}"
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        pad = max(2, round((bottom - top) / 4))
        width, height = right - left + 2 * pad, bottom - top + 2 * pad
        x, y = _anchor(found, i)
        x = min(max(0.0, x * scale), max(0.0, canvas.shape[1] - width))
        y = min(max(0.0, y * scale - height), max(0.0, canvas.shape[0] - height))
        tag = _free_place(_Tag(x, y, x + width, y + height), placed, canvas.shape[0])
        placed.append(tag)
        colour = label_colours(names)[int(found.labels[i])]
        draw.rectangle((tag.left, tag.top, tag.right, tag.bottom), fill=colour)
        ink = (0, 0, 0) if _luminance(colour) > 0.45 else (255, 255, 255)
        draw.text((tag.left + pad - left, tag.top + pad - top), text, font=font, fill=ink)
    return np.asarray(picture, np.uint8)


def _anchor(found: Detections, i: int) -> tuple[float, float]:
    """Where a name points to, in pixels of the image: the mask's highest point, else the box."""
    if found.masks is not None and found.masks[i].pixels.size:
        crop = found.masks[i]
        return float(crop.x + np.argmax(crop.pixels[0])), float(crop.y)
    x1, y1 = found.boxes_xyxy_px[i, :2]
    return float(x1), float(y1)


def _free_place(tag: _Tag, placed: list[_Tag], canvas_height: int) -> _Tag:
    """The nearest place below that covers no other name, or the wished one if there is none."""
    height = tag.bottom - tag.top
    for step in range(12):
        moved = tag.moved(step * height / 2)
        if moved.bottom <= canvas_height and not any(moved.overlaps(other) for other in placed):
            return moved
    return tag


def _luminance(colour: Colour) -> float:
    red, green, blue = (value / 255 for value in colour)
    return 0.299 * red + 0.587 * green + 0.114 * blue
