"""Sheets of crops, one label each, with what is annotated and what the model sees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from backend.corrections.history import image_tag
from backend.corrections.instances import Instance
from backend.corrections.review.reviewer import TaskFinding
from backend.image_results import ImageSource
from backend.labelstudio.label_config import LabelConfig
from backend.progress import progress
from backend.runtime.errors import FetchError, LabelvinoError
from backend.runtime.image import ImageLimits, decode_image
from backend.runtime.outlines import trace
from backend.runtime.overlay import encode_png

U8 = npt.NDArray[np.uint8]

_TILE_PX, _CAPTION_PX, _GAP_PX, _HEAD_PX = 240, 44, 10, 46
_COLUMNS, _ROWS = 5, 6
_MOST_SHEETS = 4  # of a label
_MARGIN, _LEAST_MARGIN_PX = 0.35, 24  # around what is in doubt: of its longer side, and at least
_SEEN, _ANNOTATED = (255, 140, 0), (0, 170, 255)  # RGB
_INK, _PAPER, _HALO = (25, 25, 25), (255, 255, 255), (0, 0, 0)
_OWN_FILES = "review-*.png"


def write_sheets(
    folder: Path,
    findings: Sequence[TaskFinding],
    config: LabelConfig,
    source: ImageSource,
    limits: ImageLimits,
) -> list[Path]:
    """`review-<label>-<number>.png` in `folder`, the surest findings first; gives what it wrote.

    Sheets of an earlier review there are removed. A crop whose image cannot be had says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(_OWN_FILES):
        old.unlink()
    by_label: dict[str, list[TaskFinding]] = {}
    for each in findings:
        by_label.setdefault(each.finding.label, []).append(each)
    shown = {id(each) for of_label in by_label.values() for each in _first(of_label)}
    tiles: dict[int, U8] = {}
    with progress("crops", len(shown)) as advance:
        wanted = sorted((e for e in findings if id(e) in shown), key=lambda each: each.task_id)
        for each, tile in _tiles(wanted, config, source, limits):
            tiles[id(each)] = tile
            advance()
    written: list[Path] = []
    for label, of_label in sorted(by_label.items()):
        kept = _first(of_label)
        step = _COLUMNS * _ROWS
        for start in range(0, len(kept), step):
            part = kept[start : start + step]
            number = start // step + 1
            head = f"{label or 'no label'}: {start + 1} to {start + len(part)} of {len(of_label)}"
            sheet = _sheet(head, [tiles[id(each)] for each in part])
            target = _free_name(folder, label, number)
            partial = target.with_name(target.name + ".partial")
            partial.write_bytes(encode_png(sheet))
            partial.replace(target)
            written.append(target)
    return written


def _first(findings: list[TaskFinding]) -> list[TaskFinding]:
    return findings[: _COLUMNS * _ROWS * _MOST_SHEETS]


def _free_name(folder: Path, label: str, number: int) -> Path:
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", label)[:60] or "label"
    target = folder / f"review-{safe}-{number}.png"
    while target.exists():  # another label that is written alike
        safe += "_"
        target = folder / f"review-{safe}-{number}.png"
    return target


def _tiles(
    findings: Sequence[TaskFinding], config: LabelConfig, source: ImageSource, limits: ImageLimits
) -> Iterator[tuple[TaskFinding, U8]]:
    """In the order of the tasks, so that each image is fetched once."""
    at: tuple[int, str, int] | None = None
    pixels: U8 | None = None
    for each in findings:
        frame = each.finding.instance.frame
        place = each.task_id, frame.to_name, frame.item_index
        if place != at:
            try:
                pixels = _pixels(each, config, source, limits)
            except LabelvinoError:
                pixels = None
            at = place
        yield each, _tile(each, pixels)


def _pixels(
    found: TaskFinding, config: LabelConfig, source: ImageSource, limits: ImageLimits
) -> U8:
    """Raises FetchError or ImageError."""
    frame = found.finding.instance.frame
    tag = image_tag(config, frame.to_name)
    addresses = tag.addresses(found.data) if tag is not None else []
    if frame.item_index >= len(addresses):
        raise FetchError("the task has no such image.")
    return decode_image(
        source.fetch(addresses[frame.item_index], task_id=found.task_id), limits
    ).pixels


def _tile(found: TaskFinding, pixels: U8 | None) -> U8:
    """u8 [_TILE_PX + _CAPTION_PX, _TILE_PX, 3]."""
    tile = np.full((_TILE_PX + _CAPTION_PX, _TILE_PX, 3), 255, np.uint8)
    finding = found.finding
    if pixels is None:
        tile[:_TILE_PX] = 200
    else:
        left, top, side = _square(found)
        tile[:_TILE_PX] = _cut(pixels, left, top, side)
        scale = _TILE_PX / side
        # Both show where they are the same, since the wider one is drawn first.
        both = ((finding.annotated, _ANNOTATED, 5), (finding.seen, _SEEN, 2))
        drawn = [(each, colour, px) for each, colour, px in both if each is not None]
        for number, (instance, colour, px) in enumerate(drawn):
            rings = _rings(instance, left, top, scale)
            if number == 0:
                cv2.polylines(tile[:_TILE_PX], rings, True, _HALO, px + 2, cv2.LINE_AA, shift=4)
            cv2.polylines(tile[:_TILE_PX], rings, True, colour, px, cv2.LINE_AA, shift=4)
    picture = Image.fromarray(tile)
    draw = ImageDraw.Draw(picture)
    lines = (
        f"{finding.kind} {finding.confidence:.2f}, task {found.task_id}",
        _what(found) if pixels is not None else "the image cannot be had",
    )
    for row, (text, colour) in enumerate(zip(lines, (_INK, (90, 90, 90)), strict=True)):
        font = _font(15 if row == 0 else 13)
        y = _TILE_PX + 4 + 20 * row
        draw.text((2, y), _fitted(draw, text, font, _TILE_PX - 4), fill=colour, font=font)
    return np.asarray(picture, np.uint8)


def _what(found: TaskFinding) -> str:
    seen, annotated = found.finding.seen, found.finding.annotated
    if seen is None:
        return "" if annotated is None else f"annotated {annotated.label}"
    model = f"model {seen.label} {seen.score or 0.0:.2f}"
    return model if annotated is None else f"{annotated.label}, {model}"


def _square(found: TaskFinding) -> tuple[float, float, float]:
    """Left, top and side in pixels of the image, around all that is drawn."""
    both = (found.finding.seen, found.finding.annotated)
    boxes = np.array([each.box_xyxy_px for each in both if each is not None])
    x1, y1 = boxes[:, :2].min(axis=0).tolist()
    x2, y2 = boxes[:, 2:].max(axis=0).tolist()
    longer = max(x2 - x1, y2 - y1)
    side = longer + 2 * max(_MARGIN * longer, _LEAST_MARGIN_PX)
    return (x1 + x2 - side) / 2, (y1 + y2 - side) / 2, side


def _cut(pixels: U8, left: float, top: float, side: float) -> U8:
    """The square as u8 [_TILE_PX, _TILE_PX, 3]; grey where it is outside of the image."""
    scale = _TILE_PX / side
    if scale < 1:  # averaged first, else fine structures turn into noise
        x1, y1 = max(0, int(left)), max(0, int(top))
        x2, y2 = int(np.ceil(left + side)), int(np.ceil(top + side))
        part = pixels[y1:y2, x1:x2]
        rows, columns = (max(1, round(n * scale)) for n in part.shape[:2])
        small = cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA)
        across, down = columns / part.shape[1], rows / part.shape[0]
        shift = np.array(
            [[scale / across, 0, (x1 - left) * scale], [0, scale / down, (y1 - top) * scale]]
        )
        source = small
    else:
        shift = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
        source = pixels
    # Edge coordinates: pixel 0 covers [0, 1), but OpenCV counts from pixels' centres.
    shift[:, 2] += shift[:, :2].sum(axis=1) * 0.5 - 0.5
    return np.asarray(
        cv2.warpAffine(
            source, shift, (_TILE_PX, _TILE_PX), flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT, borderValue=(128, 128, 128),
        ),
        np.uint8,
    )  # fmt: skip


def _rings(
    instance: Instance, left: float, top: float, scale: float
) -> list[npt.NDArray[np.int32]]:
    """Outlines in sixteenths of a tile's pixel, as OpenCV takes them."""
    if instance.mask is None:
        x1, y1, x2, y2 = instance.box_xyxy_px
        rings = [np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)])]
    else:
        rings = [r for part in trace(instance.mask) for r in (part.outer, *part.holes)]
    # Pixels' edges; OpenCV counts from their centres.
    return [np.round(((r - (left, top)) * scale - 0.5) * 16).astype(np.int32) for r in rings]


def _sheet(head: str, tiles: Sequence[U8]) -> U8:
    columns = min(_COLUMNS, max(2, len(tiles)))
    rows = -(-len(tiles) // columns)
    width = columns * (_TILE_PX + _GAP_PX) + _GAP_PX
    height = _HEAD_PX + rows * (_TILE_PX + _CAPTION_PX + _GAP_PX) + _GAP_PX
    picture = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    legend = (("annotated", _ANNOTATED), ("model", _SEEN))
    right = float(width - _GAP_PX)
    for name, colour in legend:
        right -= draw.textlength(name, font=_font(14))
        draw.text((right, 15), name, fill=_INK, font=_font(14))
        draw.line((right - 30, 24, right - 8, 24), fill=colour, width=5)
        right -= 46
    title = _fitted(draw, head, _font(20), right - _GAP_PX)
    draw.text((_GAP_PX, 11), title, fill=_INK, font=_font(20))
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        x = _GAP_PX + column * (_TILE_PX + _GAP_PX)
        y = _HEAD_PX + row * (_TILE_PX + _CAPTION_PX + _GAP_PX)
        picture.paste(Image.fromarray(tile), (x, y))
    return np.asarray(picture, np.uint8)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _fitted(
    draw: ImageDraw.ImageDraw,
    text: str,
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    width: float,
) -> str:
    if draw.textlength(text, font=font) <= width:
        return text
    while text and draw.textlength(text + "...", font=font) > width:
        text = text[:-1]
    return text + "..."
