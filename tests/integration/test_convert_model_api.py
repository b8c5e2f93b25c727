"""OpenVINO Model API, which knows nothing of labelvino, reads what labelvino-model wrote."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from toy_onnx import save_onnx

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


def test_masks_over_the_image(tmp_path: Path, photos_dir: Path) -> None:
    """RF-DETR-Seg's interface, as Model API's DETRInstSeg; it does not cut masks to their boxes."""
    source, target = tmp_path / "source.onnx", tmp_path / "m.xml"
    logits = np.full((1, 50, 91), -9.0, np.float32)
    logits[0, 7, 90], logits[0, 3, 1] = 3.0, 2.0
    dets = np.full((1, 50, 4), 0.1, np.float32)
    dets[0, 7], dets[0, 3] = (0.5, 0.5, 0.5, 0.5), (0.25, 0.5, 0.5, 0.75)
    masks = np.full((1, 50, 24, 32), -6.0, np.float32)
    masks[0, :, 8:, :20] = 6.0
    outputs = {"dets": dets, "labels": logits, "masks": masks}
    save_onnx(source, ("input", (1, 3, 96, 128)), outputs)
    assert run(["convert", str(source), "-o", str(target), "--labels", "coco91"]) == 0
    photo = decode_image((photos_dir / "000000062554.jpg").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own imports
        from model_api.models import Model

        theirs = Model.create_model(str(target), device="CPU")(photo.pixels)
    engine = Engine(target, device="CPU")
    ours = engine.detect(photo, min_score=0.6)
    assert ours.masks is not None
    assert len(ours) == len(theirs.scores) == 2
    for i in range(2):
        name = engine.contract.label_names[ours.labels[i]]
        (j,) = [j for j in range(2) if theirs.label_names[j] == name]
        assert abs(theirs.scores[j] - ours.scores[i]) <= 1e-3
        assert np.abs(theirs.bboxes[j] - ours.boxes_xyxy_px[i]).max() <= 1  # theirs are rounded
        crop = ours.masks[i]
        rows, columns = crop.pixels.shape
        full = np.zeros((photo.height, photo.width), bool)
        full[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
        x1, y1, x2, y2 = theirs.bboxes[j]
        other = np.zeros_like(full)
        other[y1:y2, x1:x2] = theirs.masks[j].astype(bool)[y1:y2, x1:x2]
        assert (full & other).sum() / (full | other).sum() >= 0.99


def test_a_letterboxed_model_with_masks_is_not_offered(tmp_path: Path) -> None:
    """Model API would stretch its masks over the padding, so that no wrapper is named."""
    source, target = tmp_path / "source.onnx", tmp_path / "m.xml"
    predictions = np.zeros((1, 4 + 80 + 2, 20), np.float32)
    outputs = {"output0": predictions, "output1": np.zeros((1, 2, 8, 8), np.float32)}
    save_onnx(source, ("images", (1, 3, 32, 32)), outputs)
    assert run(["convert", str(source), "-o", str(target), "--labels", "coco80"]) == 0
    model = ov.Core().read_model(target)
    assert model.get_rt_info(["model_info", "resize_type"]).astype(str) == "fit_to_window_letterbox"
    assert not model.has_rt_info(["model_info", "model_type"])
