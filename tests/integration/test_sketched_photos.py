"""Polygons of real masks, as large as in a photo of 12 megapixels, keep the overlap."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from backend.runtime.coco_rle import encode_coco
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, select
from backend.runtime.image import decode_image
from backend.runtime.polygons import PolygonDetail, polygons_of_all
from backend.runtime.sketches import MasksOnDemand, polygons_of

LONG_SIDE = 4000
PHOTOS = 8


def enlarged(engine: Engine, photo: Path) -> Detections:
    """What was found in a photo, in one of the same content with more pixels."""
    image = decode_image(photo.read_bytes())
    raw, geometry = engine.infer(image)
    scale = LONG_SIDE / max(image.width, image.height)
    large = replace(
        geometry,
        image_width=round(image.width * scale),
        image_height=round(image.height * scale),
    )
    return select(raw, large, engine.contract, 0.5, 100).detections(0.5, 100)


def overlap(rings: list[np.ndarray], found: Detections, i: int) -> float:
    assert found.masks is not None
    size = (found.height, found.width)
    drawn = coco_mask.merge(coco_mask.frPyObjects([r.ravel().tolist() for r in rings], *size))
    truth = encode_coco(found.masks[i], found.width, found.height)
    return float(coco_mask.iou([drawn], [truth], [0])[0][0])


@pytest.mark.parametrize("wanted", [0.957, 0.98])
def test_large_real_masks(photo_engine: Engine, photos_dir: Path, wanted: float) -> None:
    sketched, points = 0, {"sketched": 0, "exact": 0}
    for photo in sorted(photos_dir.iterdir())[:PHOTOS]:
        found = enlarged(photo_engine, photo)
        masks = found.masks
        assert isinstance(masks, MasksOnDemand)
        details = [PolygonDetail(wanted)] * len(found)
        drawn = polygons_of(masks, range(len(found)), details)
        exact = polygons_of_all(masks, details)
        for i, (rings, other) in enumerate(zip(drawn, exact, strict=True)):
            assert len(rings) == len(other)
            if masks.sketch(i, wanted) is None:
                continue
            sketched += 1
            points["sketched"] += sum(map(len, rings))
            points["exact"] += sum(map(len, other))
            most = max(map(len, rings)) >= PolygonDetail().max_points
            assert most or overlap(rings, found, i) >= wanted - 0.002
    assert sketched >= 20
    assert points["sketched"] <= 1.1 * points["exact"]
