"""Pictures of the tasks with most corrections: what was predicted, and what people made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backend.corrections.history import image_tag
from backend.corrections.instances import Instance
from backend.corrections.matching import Pair
from backend.corrections.regions import Frame
from backend.corrections.report.page import picture_name
from backend.corrections.report.report import Example
from backend.labelstudio.label_config import LabelConfig
from backend.runtime.errors import FetchError, ImageError
from backend.runtime.image import ImageLimits, decode_image
from backend.runtime.page.pictures import Drawn, box_path, draw, mask_path

_LONGEST_PX = 1280


class ImageSource(Protocol):
    """What fetches images: see ImageFetcher."""

    def fetch(self, url: str, *, task_id: int | None = None) -> bytes: ...


def draw_examples(
    examples: Sequence[Example],
    config: LabelConfig,
    source: ImageSource,
    limits: ImageLimits,
    most: int,
) -> tuple[list[Drawn], list[str]]:
    """At most `most` pictures, one an image of a task; and a sentence a picture that is missing."""
    drawn: list[Drawn] = []
    lost: list[str] = []
    for example in examples:
        frames = dict.fromkeys(pair.frame for pair in example.matching.pairs)
        for number, frame in enumerate(frames):
            if len(drawn) + len(lost) >= most:
                return drawn, lost
            pairs = [pair for pair in example.matching.pairs if pair.frame == frame]
            if all(pair.fate == "kept" for pair in pairs):
                continue
            several = frame.item_index or number if len(frames) > 1 else None
            name = picture_name(example.task.task_id, example.task.annotation_id, several)
            try:
                pixels = _pixels(example, frame, config, source, limits)
            except (FetchError, ImageError) as error:
                lost.append(f"The picture of {name} cannot be shown: {error}")
                continue
            panels = [_panel("predicted", pairs), _panel("final", pairs)]
            drawn.append(draw(pixels, name, panels, (frame.width, frame.height)))
    return drawn, lost


def _pixels(
    example: Example, frame: Frame, config: LabelConfig, source: ImageSource, limits: ImageLimits
) -> npt.NDArray[np.uint8]:
    """Raises FetchError or ImageError."""
    tag = image_tag(config, frame.to_name)
    if tag is None:
        raise FetchError(f"the labelling config has no image '{frame.to_name}' any more.")
    data = source.fetch(example.task.address(tag, frame.item_index), task_id=example.task.task_id)
    image = decode_image(data, limits, _enough)
    if (image.width, image.height) != (frame.width, frame.height):
        raise ImageError(
            f"the image has {image.width}x{image.height} pixels, but its regions were drawn on "
            f"{frame.width}x{frame.height}: it was replaced meanwhile."
        )
    return image.pixels


def _enough(width: int, height: int) -> tuple[int, int]:
    """A page needs no more pixels."""
    scale = min(1.0, _LONGEST_PX / max(width, height))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _panel(side: str, pairs: Sequence[Pair]) -> dict[str, Any]:
    """`side`: "predicted" or "final". Large instances lie below small ones."""
    shown: list[tuple[Instance, Pair]] = []
    for pair in pairs:
        instance = pair.predicted if side == "predicted" else pair.final
        if instance is not None:
            shown.append((instance, pair))
    shown.sort(key=lambda item: -item[0].area_px)
    changed = sum(pair.fate != "kept" for _, pair in shown)
    title = "Predicted" if side == "predicted" else "In the end"
    return {
        "title": title,
        "count": f"{len(shown)}, {changed} changed" if changed else f"{len(shown)}",
        "instances": [_shape(instance, pair) for instance, pair in shown],
    }


def _shape(instance: Instance, pair: Pair) -> dict[str, Any]:
    mask = instance.mask
    has_pixels = mask is not None and mask.pixels.size
    shape: dict[str, Any] = {
        "label": instance.label,
        "path": mask_path(mask)
        if mask is not None and has_pixels
        else box_path(instance.box_xyxy_px),
        "state": pair.fate,
        "text": _text(instance, pair),
    }
    if instance is pair.predicted and instance.score is not None:
        shape["score"] = round(instance.score, 4)
    return shape


def _text(instance: Instance, pair: Pair) -> str:
    parts = [instance.label or "(no label)"]
    if pair.predicted is not None and pair.predicted.score is not None:
        parts.append(f"score {pair.predicted.score:.2f}")
    if pair.fate == "relabelled" and pair.predicted is not None and pair.final is not None:
        parts.append(f"relabelled from '{pair.predicted.label}' to '{pair.final.label}'")
    else:
        parts.append(pair.fate)
    if pair.iou is not None and pair.is_reshaped:
        parts.append(f"IoU of predicted and final {pair.iou:.3f}")
    return " · ".join(parts)
