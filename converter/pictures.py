"""Two models' instances as outlines over their image, for a page that zooms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backend.runtime.image import decode_image
from backend.runtime.page.pictures import Drawn, box_path, draw, mask_path
from converter.match import Alone, Matching, Side


def draw_file(path: Path, name: str, panels: Sequence[dict[str, Any]]) -> Drawn:
    """The image at `path`; outlines are in its pixels."""
    return draw(decode_image(path.read_bytes()).pixels, name, panels)


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
    return box_path(side.boxes_xyxy_px[row].tolist())
