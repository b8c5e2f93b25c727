"""Whether a resize rule gives inputs of the size that a graph takes."""

from __future__ import annotations

import openvino as ov

from backend.runtime.contract import ResizeRule
from backend.runtime.errors import ConversionError


def check_resize(rule: ResizeRule, height: ov.Dimension, width: ov.Dimension) -> None:
    """Raises ConversionError for a rule whose results do not fit the input's H and W."""
    if rule.kind in ("stretch", "fit", "letterbox"):
        fits = height.compatible(ov.Dimension(rule.height)) and width.compatible(
            ov.Dimension(rule.width)
        )
    else:  # these give other sizes with each image
        least, most = (rule.short, rule.long) if rule.kind == "shortest-edge" else (1, 0)
        fits = all(_takes(side, least, most) for side in (height, width))
    if not fits:
        raise ConversionError(
            f"--resize {rule} does not fit the model's input, which is {width} wide and {height} "
            f"high: use {size_choices(height, width)}."
        )


def _takes(side: ov.Dimension, least: int, most: int) -> bool:
    """Whether a side is open from `least` to `most`; 0: without an end."""
    low, high = int(side.get_min_length()), int(side.get_max_length())
    return low != high and low <= least and (high < 0 or 0 < most <= high)


def size_choices(height: ov.Dimension, width: ov.Dimension) -> str:
    """The `--resize` rules that fit, as a phrase for a message."""
    if height.is_dynamic or width.is_dynamic:
        return (
            "--resize shortest-edge:SHORT:LONG (Detectron2, torchvision), stretch:WIDTHxHEIGHT, "
            "fit:WIDTHxHEIGHT (padded right and below), letterbox:WIDTHxHEIGHT (padded around) or "
            "none (any size, or the model resizes)"
        )
    size = f"{width.get_length()}x{height.get_length()}"
    return (
        f"--resize stretch:{size} (aspect ratio changes), fit:{size} (aspect ratio kept, padded "
        f"right and below) or letterbox:{size} (padded around)"
    )
