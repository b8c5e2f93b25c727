"""Which predicted regions people have annotated already."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.labelstudio.json_calls import Row
from backend.labelstudio.region_masks import Mask, region_mask

_LONGEST_SIDE = 1024  # shares of an area need no more pixels


def drop_covered(regions: Sequence[Row], annotations: Sequence[Row], share: float) -> list[Row]:
    """Regions of which the annotations cover less than `share` of the area, whatever the label.

    `annotations`: Label Studio's, as the task carries them; cancelled ones do not count.
    """
    drawn: dict[tuple[object, object], list[Row]] = {}
    for annotation in annotations:
        if not annotation.get("was_cancelled"):
            for region in annotation.get("result") or ():
                drawn.setdefault(_place(region), []).append(region)
    if not drawn:
        return list(regions)
    covered = {place: _union(found) for place, found in drawn.items()}
    gone = {
        region["id"]
        for region in regions
        if (mask := covered.get(_place(region))) is not None and _share(region, mask) >= share
    }
    return [region for region in regions if region["id"] not in gone]


def _place(region: Row) -> tuple[object, object]:
    """The image that a region lies on."""
    return region.get("to_name"), region.get("item_index") or 0


def _union(regions: list[Row]) -> Mask | None:
    """What they cover together; None where none has a size."""
    sized = next((r for r in regions if r.get("original_width") and r.get("original_height")), None)
    if sized is None:
        return None
    width, height = int(sized["original_width"]), int(sized["original_height"])
    scale = min(1.0, _LONGEST_SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    union = np.zeros((size[1], size[0]), bool)
    for region in regions:
        mask = region_mask(region, *size)
        if mask is not None:
            union |= mask
    return union


def _share(region: Row, covered: Mask) -> float:
    height, width = covered.shape
    mask = region_mask(region, width, height)
    if mask is None or not mask.any():
        return 0.0
    return float((mask & covered).sum() / mask.sum())
