"""COCO's run lengths equal those of pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from backend.runtime.coco_rle import coco_results, encode_coco
from backend.runtime.detections import Detections, MaskCrop

masks = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda s: arrays(np.bool_, s))


@given(masks)
def test_equals_pycocotools(pixels: np.ndarray) -> None:
    height, width = pixels.shape
    wanted = coco_mask.encode(np.asfortranarray(pixels.astype(np.uint8)))
    got = encode_coco(MaskCrop(0, 0, pixels).trimmed(), width, height)
    assert got == {"size": [height, width], "counts": wanted["counts"].decode()}


@pytest.mark.parametrize("value", [False, True])
def test_empty_and_full(value: bool) -> None:
    rle = encode_coco(MaskCrop(0, 0, np.full((300, 200), value)).trimmed(), 200, 300)
    assert (coco_mask.decode(rle) == value).all()


def test_labels_without_a_category_are_left_out() -> None:
    box = np.array([[1, 2, 4, 6]] * 2, np.float32)
    found = Detections(9, 9, box, np.array([0.9, 0.8], np.float32), np.array([0, 1]), None)
    (result,) = coco_results(found, 3, (None, 17))
    assert result == {"image_id": 3, "category_id": 17, "bbox": [1, 2, 3, 4], "score": 0.8}
