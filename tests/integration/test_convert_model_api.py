"""OpenVINO Model API, which knows nothing of labelvino, reads what labelvino-model wrote."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from backend.runtime.engine import Engine
from backend.runtime.image import decode_image
from converter.cli import run


@pytest.fixture
def fixed_ir(shared_dir: Path, tmp_path: Path) -> Path:
    """Model API needs a fixed input size, so that the source gets one first."""
    source, target = tmp_path / "source.xml", tmp_path / "fixed.xml"
    model = ov.Core().read_model(shared_dir / "models/mask_rcnn_2go_ir/mask_rcnn_2go_FP16.xml")
    model.reshape([1, 3, 320, 480])
    ov.save_model(model, source)
    options = ["--labels", "coco80", "--resize", "stretch:480x320", "--color-order", "bgr"]
    assert run(["convert", str(source), "-o", str(target), *options]) == 0
    return target


def test_model_api_finds_the_same(fixed_ir: Path, photos_dir: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        from model_api.models import Model

        theirs_model = Model.create_model(str(fixed_ir), device="CPU")
        photo = decode_image((photos_dir / "000000062554.jpg").read_bytes())
        theirs = theirs_model(photo.pixels)
    engine = Engine(fixed_ir, device="CPU")
    ours = engine.detect(photo, min_score=0.6)
    best = np.argsort(-theirs.scores, kind="stable")
    assert len(ours) >= 5
    for i in range(len(ours)):
        near = [
            j
            for j in best
            if theirs.label_names[j]
            == engine.contract.label_names[ours.labels[i]].replace(" ", "_")
            and np.abs(theirs.bboxes[j] - ours.boxes_xyxy_px[i]).max() <= 3  # theirs are rounded
        ]
        assert near, f"no partner for {ours.boxes_xyxy_px[i]}"
        assert abs(theirs.scores[near[0]] - ours.scores[i]) <= 0.03
        assert ours.masks is not None
        crop = ours.masks[i]
        rows, columns = crop.pixels.shape
        full = np.zeros((photo.height, photo.width), bool)
        full[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
        other = theirs.masks[near[0]].astype(bool)
        assert (full & other).sum() / (full | other).sum() >= 0.9
