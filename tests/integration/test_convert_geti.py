"""Geti deployments and mmdetection's ONNX: boxes, labels and masks to the pixel."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from toy_onnx import save_onnx
from toy_sources import model_api_model, seeing_model

from backend.runtime.contract import Label
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run

PHOTO = DecodedImage(np.full((100, 200, 3), (200, 20, 10), np.uint8), 1, "")
HALF = (0.0, 0.0, 32.0, 32.0)  # of a 64x32 input: the left half
MODEL_INFO = {
    "model_type": "MaskRCNN",
    "labels": "otx_empty_lbl left_hand face",
    "label_info": json.dumps({"label_names": ["left hand", "face"], "label_groups": []}),
    "resize_type": "standard",
    "reverse_input_channels": "True",
    "mean_values": "10.0 20.0 30.0",
    "scale_values": "2.0 4.0 5.0",
    "confidence_threshold": "0.35",
}


def deployment(folder: Path, model: ov.Model, info: dict[str, str], config: object = None) -> Path:
    """deployment/<task>/model/{model.xml,model.bin,config.json}, as Geti unpacks it."""
    place = folder / "deployment" / "Instance segmentation" / "model"
    place.mkdir(parents=True)
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])
    ov.save_model(model, place / "model.xml", compress_to_fp16=False)
    if config is not None:
        (place / "config.json").write_text(json.dumps(config))
    (folder / "deployment" / "project.json").write_text("{}")
    return folder / "deployment"


def convert(source: Path, *options: str) -> Engine:
    target = source.parent / "m.xml"
    command = ["convert", str(source), "-o", str(target), "--force", "--no-compress-to-fp16"]
    assert run([*command, *options]) == 0
    return Engine(target, device="CPU", precision="f32")


def hands(rows: int = 2) -> ov.Model:
    """A hand and a face, whose masks are the left one of 2x2 cells' columns."""
    found = [(HALF, 0.9, 0), ((32.0, 16.0, 64.0, 32.0), 0.6, 1)][:rows]
    model = model_api_model(found, shape=(1, 3, 32, 64))
    (masks,) = [r for r in model.get_results() if "masks" in r.output(0).get_names()]
    nothing = ops.multiply(masks.input_value(0), np.float32(0))
    cells = ops.add(nothing, np.array([[[1, 0], [1, 0]]], np.float32))
    masks.input(0).replace_source_output(cells.output(0))
    return model


def check(engine: Engine) -> None:
    contract = engine.contract
    assert (contract.family, contract.mask_frame) == ("model-api", "box")
    assert contract.labels == (Label(1, "left hand"), Label(2, "face"))
    assert (str(contract.resize), contract.score_threshold) == ("stretch:64x32", 0.35)
    found = engine.detect(PHOTO)
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 100, 100], [100, 50, 200, 100]]
    assert found.labels.tolist() == [0, 1]
    assert found.masks is not None
    for crop, (x, y, width, height) in zip(
        found.masks, [(0, 0, 100, 100), (100, 50, 100, 50)], strict=True
    ):
        across = (np.arange(width) + 0.5) * 2 / width - 0.5  # in cells, from the first one's centre
        down = (np.arange(height) + 0.5) * 2 / height - 0.5
        inside = (
            np.outer(
                np.clip(np.minimum(down + 1, 2 - down), 0, 1),
                np.clip(np.minimum(across + 1, 1 - across), 0, 1),
            )
            > 0.5
        )
        frame = np.zeros((height, width), np.bool_)
        rows, columns = crop.pixels.shape
        frame[crop.y - y :, crop.x - x :][:rows, :columns] = crop.pixels
        assert np.array_equal(frame, inside)


@pytest.mark.parametrize("inner", [".", "Instance segmentation", "Instance segmentation/model"])
def test_a_deployment_folder(inner: str, tmp_path: Path) -> None:
    folder = deployment(tmp_path, hands(), MODEL_INFO)
    check(convert(folder / inner))


def test_a_deployment_that_is_still_packed(tmp_path: Path) -> None:
    folder = deployment(tmp_path, hands(), MODEL_INFO)
    shutil.make_archive(str(tmp_path / "deployment"), "zip", folder.parent, "deployment")
    check(convert(tmp_path / "deployment.zip"))


def test_facts_from_config_json(tmp_path: Path) -> None:
    """Older deployments write them there only; where the IR says something, that counts."""
    parameters = {
        "labels": {
            "label_tree": {},
            "all_labels": {
                "a1": {"name": "left hand", "is_empty": False},
                "b2": {"name": "face", "is_empty": False},
                "c3": {"name": "No object", "is_empty": True},
            },
        },
        "resize_type": "fit_to_window",
        "mean_values": [10.0, 20.0, 30.0],
        "scale_values": [2.0, 4.0, 5.0],
        "reverse_input_channels": True,
        "confidence_threshold": 0.35,
    }
    config = {"type_of_model": "MaskRCNN", "model_parameters": parameters}
    folder = deployment(tmp_path, hands(), {"resize_type": "standard"}, config)
    check(convert(folder))


def test_the_graph_sees_what_the_deployment_says(tmp_path: Path) -> None:
    info = MODEL_INFO | {"labels": "background thing", "label_info": ""}
    folder = deployment(tmp_path, seeing_model(shape=(1, 3, 32, 64)), info)
    raw, _ = convert(folder).infer(PHOTO)
    assert raw.boxes[0, :3].tolist() == [(200 - 10) / 2, (20 - 20) / 4, (10 - 30) / 5]


def test_nothing_found(tmp_path: Path) -> None:
    raw, _ = convert(deployment(tmp_path, hands(0), MODEL_INFO)).infer(PHOTO)
    assert raw.boxes.shape == (0, 5)


def test_two_models_must_be_told_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = deployment(tmp_path, hands(), MODEL_INFO)
    shutil.copytree(folder / "Instance segmentation", folder / "Detection")
    assert run(["convert", str(folder), "-o", str(tmp_path / "m.xml")]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert "has 2 models (Detection/model/model.xml, Instance segmentation/" in err[0]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("model.ckpt-0.meta", "is a TensorFlow checkpoint, which .* cannot read yet"),
        ("inference.pdmodel", "is a PaddlePaddle model, which .* cannot read yet"),
    ],
)
def test_folders_that_cannot_be_read_yet(
    name: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / name).write_bytes(b"x")
    assert run(["convert", str(tmp_path / "model"), "-o", str(tmp_path / "m.xml")]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert re.search(reason, err[0])


# --- IR versions


@pytest.mark.parametrize(
    ("first_line", "reason"),
    [
        (
            '<net name="a" version="7" batch="1">',
            "an IR of version 7, but OpenVINO reads version 10",
        ),
        ('<net name="a" version="6">', "an IR of version 6"),
        ('<net name="a">', "not a <net> with a version"),
        ("<html>", "its XML is a <html>"),
        ("<net version='11'", "is not an OpenVINO IR"),
        ('<!DOCTYPE net [<!ENTITY a "b">]><net version="11">&a;', "is not an OpenVINO IR"),
    ],
)
def test_an_ir_that_openvino_does_not_read(
    first_line: str, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "old.xml").write_text(f"{first_line}\n<layers/>\n")
    (tmp_path / "old.bin").write_bytes(b"")
    assert run(["convert", str(tmp_path / "old.xml"), "-o", str(tmp_path / "m.xml")]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert reason in err[0]


# --- mmdetection's ONNX


def mmdetection(folder: Path, masks: np.ndarray, shape: tuple[int | str, ...]) -> Path:
    """dets [1,N,5], labels [1,N], masks [1,N,h,w]: three rows, of which the last fills up."""
    dets = np.array([[[*HALF, 0.9], [32, 16, 64, 32, 0.6], [0, 0, 0, 0, 0]]], np.float32)
    labels = np.array([[1, 0, -1]], np.int64)
    open_rows = {"dets": ("batch", "num_dets", 5), "labels": ("batch", "num_dets")}
    return save_onnx(
        folder / "end2end.onnx",
        ("input", shape),
        {"dets": dets, "labels": labels, "masks": masks},
        shapes={**open_rows, "masks": ("batch", "num_dets", *masks.shape[2:])},
        seen={"dets": ((0, 1, 2), (2, 1, 1))},  # the third channel's pixel moves a box's side
        opset=11,
    )


@pytest.mark.parametrize(("cells", "frame"), [((28, 28), "box"), ((32, 64), "image")])
def test_mmdetection(cells: tuple[int, int], frame: str, tmp_path: Path) -> None:
    masks = np.zeros((1, 3, *cells), np.float32)
    masks[0, :, :, : cells[1] // 2] = 1.0
    source = mmdetection(tmp_path, masks, ("batch", 3, 32, 64))
    names = tmp_path / "names.txt"
    names.write_text("face\nhand")
    engine = convert(
        source, "--labels", str(names), "--resize", "stretch:64x32", "--color-order", "rgb",
        "--mean-values", "123.675,116.28,103.53", "--scale-values", "58.395,57.12,57.375",
    )  # fmt: skip
    assert (engine.contract.family, engine.contract.mask_frame) == ("model-api", frame)
    raw, _ = engine.infer(PHOTO)
    assert raw.labels.tolist() == [1, 0]
    assert raw.boxes[0].tolist() == [*HALF, pytest.approx(0.9)]
    assert raw.boxes[1, 2] == pytest.approx(64 + (10 - 103.53) / 57.375, abs=1e-5)
    found = engine.detect(PHOTO)
    assert found.masks is not None
    first = found.masks[0]
    # in the box's frame its left half; over the image the left half of the image, which is the box
    width = 100 if frame == "image" else 50
    assert (first.x, first.y, first.pixels.shape[1]) == (0, 0, width)
    assert first.pixels[50].all()


# --- torchvision's ONNX


def test_torchvision(tmp_path: Path) -> None:
    """boxes [N,4], labels from 1, scores and pasted masks [N,1,H,W]; the input has no batch."""
    masks = np.zeros((2, 1, 32, 64), np.float32)
    masks[0, 0, :, :16] = 1.0
    masks[1, 0, 16:] = 1.0
    outputs = {
        "boxes": np.array([HALF, (32, 16, 64, 32)], np.float32),
        "labels": np.array([90, 1], np.int64),
        "scores": np.array([0.9, 0.6], np.float32),
        "masks": masks,
    }
    source = save_onnx(tmp_path / "maskrcnn.onnx", ("image", (3, 32, 64)), outputs)
    engine = convert(source, "--labels", "coco91", "--resize", "stretch:64x32")
    assert (engine.contract.family, engine.contract.mask_frame) == ("torchvision", "image")
    found = engine.detect(PHOTO)
    assert [engine.contract.labels[i].id for i in found.labels] == [90, 1]
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 100, 100], [100, 50, 200, 100]]
    assert found.masks is not None
    places = [(crop.x, crop.y, crop.pixels.shape) for crop in found.masks]
    assert places == [(0, 0, (100, 50)), (100, 50, (50, 100))]
    assert all(crop.pixels.all() for crop in found.masks)
