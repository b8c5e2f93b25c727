"""Ultralytics' YOLO exports through the command: boxes, labels and masks to the pixel.

The graphs have the interface of yolo11n-seg.onnx at 640: output0 [1,116,8400], output1
[1,32,160,160], the metadata that the exporter writes. Their weights make known instances come out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from toy_onnx import save_onnx

from backend.runtime.contract import Label
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run
from converter.coco import COCO_LABELS

NAMES = {index: label.name for index, label in enumerate(COCO_LABELS)}
METADATA = {
    "description": "Ultralytics YOLO11n-seg model trained on coco.yaml",
    "author": "Ultralytics",
    "version": "8.3.203",
    "stride": "32",
    "task": "segment",
    "batch": "1",
    "imgsz": "[640, 640]",
    "names": str(NAMES),
}
ANCHORS, PROTOTYPES = 8400, 32
# 1280x720 becomes 640x360 with 140 rows of grey above and below.
PHOTO = DecodedImage(np.full((720, 1280, 3), (255, 51, 0), np.uint8), 1, "")


@dataclass(frozen=True)
class Anchor:
    """What one anchor says: centre x, y, width, height in the 640x640 input."""

    box: tuple[float, float, float, float]
    class_index: int
    score: float
    prototype: int = 0


def raw_output(anchors: Sequence[Anchor], classes: int = 80, nm: int = PROTOTYPES) -> np.ndarray:
    """[1, 4 + classes + nm, 8400]; the anchors given stand at 100, 101, ..."""
    found = np.zeros((1, 4 + classes + nm, ANCHORS), np.float32)
    found[0, :4] = 5.0  # small boxes that no class claims
    found[0, 4 : 4 + classes] = 1e-4
    for column, anchor in enumerate(anchors, start=100):
        found[0, :4, column] = anchor.box
        found[0, 4 + anchor.class_index, column] = anchor.score
        if nm:
            found[0, 4 + classes + anchor.prototype, column] = 1.0
    return found


def selected_output(anchors: Sequence[Anchor], nm: int = PROTOTYPES) -> np.ndarray:
    """[1, 300, 6 + nm], as end-to-end heads and nms=True give it."""
    found = np.zeros((1, 300, 6 + nm), np.float32)
    for row, anchor in enumerate(anchors):
        x, y, w, h = anchor.box
        found[0, row, :6] = (x - w / 2, y - h / 2, x + w / 2, y + h / 2, anchor.score,
                             anchor.class_index)  # fmt: skip
        if nm:
            found[0, row, 6 + anchor.prototype] = 1.0
    return found


def prototypes() -> np.ndarray:
    """Prototype 0 is within cells 40..79 across, 1 within cells 0..79 down, others nowhere."""
    found = np.full((1, PROTOTYPES, 160, 160), -9.0, np.float32)
    found[0, 0, :, 40:80] = 9.0
    found[0, 1, :80] = 9.0
    return found


def yolo(
    folder: Path, predictions: np.ndarray, *, masks: bool = True, shape: Sequence[int | str] = (),
    metadata: dict[str, str] | None = None, **more: object,
) -> str:  # fmt: skip
    outputs = {"output0": predictions} | ({"output1": prototypes()} if masks else {})
    path = folder / "yolo11n-seg.onnx"
    facts = METADATA if metadata is None else metadata
    image = ("images", shape or (1, 3, 640, 640))
    return str(save_onnx(path, image, outputs, metadata=facts, **more))  # type: ignore[arg-type]


def convert(source: str, *options: str) -> Engine:
    target = Path(source).with_name("m.xml")
    command = ["convert", source, "-o", str(target), "--force", "--no-compress-to-fp16"]
    assert run([*command, *options]) == 0
    return Engine(target, device="CPU", precision="f32")


def painted(found: Detections, index: int) -> np.ndarray:
    assert found.masks is not None
    crop = found.masks[index]
    frame = np.zeros((found.height, found.width), np.bool_)
    rows, columns = crop.pixels.shape
    frame[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
    return frame


FORMS = {"raw": raw_output, "selected": selected_output}


@pytest.mark.parametrize("form", FORMS)
def test_nothing_found(form: str, tmp_path: Path) -> None:
    engine = convert(yolo(tmp_path, FORMS[form]([])))
    raw, _ = engine.infer(PHOTO)
    assert raw.boxes.shape == (0, 5)
    assert raw.labels.shape == (0,)
    assert raw.masks is not None
    assert raw.masks.shape == (0, 160, 160)


@pytest.mark.parametrize("form", FORMS)
def test_boxes_labels_and_masks_to_the_pixel(form: str, tmp_path: Path) -> None:
    anchors = [
        Anchor((240.0, 280.0, 200.0, 100.0), 79, 0.6, prototype=0),
        Anchor((320.0, 320.0, 100.0, 80.0), 0, 0.9, prototype=1),
    ]
    engine = convert(yolo(tmp_path, FORMS[form](anchors)))
    contract = engine.contract
    assert (contract.family, contract.mask_frame) == ("yolo", "image")
    assert str(contract.resize) == "letterbox:640x640"
    assert contract.labels == COCO_LABELS
    found = engine.detect(PHOTO)
    np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=1e-6)
    assert [contract.labels[i] for i in found.labels] == [
        Label(1, "person"),
        Label(90, "toothbrush"),
    ]
    # image = (input - (0, 140)) * 2, cut at the image's edges
    assert found.boxes_xyxy_px.tolist() == [[540, 280, 740, 440], [280, 180, 680, 380]]
    # cells 40..79 across are input 160..319, so image 320..639
    toothbrush = np.zeros((720, 1280), np.bool_)
    toothbrush[180:380, 320:640] = True
    assert np.array_equal(painted(found, 1), toothbrush)
    # cells 0..79 down are input 0..319, so image rows up to 359
    person = np.zeros((720, 1280), np.bool_)
    person[280:360, 540:740] = True
    assert np.array_equal(painted(found, 0), person)


def test_overlapping_anchors_of_one_class_become_one(tmp_path: Path) -> None:
    anchors = [
        Anchor((300.0, 300.0, 100.0, 100.0), 2, 0.7),
        Anchor((302.0, 300.0, 100.0, 100.0), 2, 0.8),
        Anchor((302.0, 300.0, 100.0, 100.0), 3, 0.5),  # another class: it stays
        Anchor((350.0, 300.0, 100.0, 100.0), 2, 0.4),  # too little overlap: it stays
        Anchor((500.0, 300.0, 100.0, 100.0), 2, 0.005),  # too unsure
    ]
    raw, _ = convert(yolo(tmp_path, raw_output(anchors))).infer(PHOTO)
    np.testing.assert_allclose(raw.boxes[:, 4], [0.8, 0.5, 0.4], atol=1e-6)
    assert raw.labels.tolist() == [2, 3, 2]


def test_at_most_300(tmp_path: Path) -> None:
    anchors = [
        Anchor((10.0 + 20 * (i % 30), 10.0 + 20 * (i // 30), 10.0, 10.0), i % 80, 0.1 + i / 1000)
        for i in range(400)
    ]
    raw, _ = convert(yolo(tmp_path, raw_output(anchors))).infer(PHOTO)
    assert raw.boxes.shape == (300, 5)
    np.testing.assert_allclose(
        raw.boxes[:, 4], [0.1 + i / 1000 for i in range(399, 99, -1)], atol=1e-6
    )


@pytest.mark.parametrize(
    ("pixel", "value"),
    [((0, 320, 320), 1.0), ((1, 320, 320), 0.2), ((2, 320, 320), 0.0), ((0, 100, 320), 114 / 255)],
    ids=["red", "green", "blue", "grey above the photo"],
)
def test_the_graph_sees_rgb_from_0_to_1(
    pixel: tuple[int, int, int], value: float, tmp_path: Path
) -> None:
    predictions = raw_output([Anchor((320.0, 320.0, 64.0, 64.0), 5, 0.0)])
    predictions[0, 0, 100] = 100.0
    seen = {"output0": ((0, 0, 100), pixel)}  # added to the box's centre
    predictions[0, 9, 100] = 0.9
    raw, _ = convert(yolo(tmp_path, predictions, seen=seen)).infer(PHOTO)
    assert raw.boxes[0, 0] == pytest.approx(100 - 32 + value, abs=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_detector(form: str, tmp_path: Path) -> None:
    anchors = [Anchor((240.0, 280.0, 200.0, 100.0), 79, 0.6)]
    predictions = raw_output(anchors, nm=0) if form == "raw" else selected_output(anchors, nm=0)
    facts = METADATA | {"task": "detect"}
    engine = convert(yolo(tmp_path, predictions, masks=False, metadata=facts))
    assert engine.contract.mask_frame is None
    assert engine.detect(PHOTO).boxes_xyxy_px.tolist() == [[280, 180, 680, 380]]


def test_own_names(tmp_path: Path) -> None:
    facts = METADATA | {"names": "{0: \"driver's seat\", 1: 'left door'}"}
    anchors = [Anchor((240.0, 280.0, 200.0, 100.0), 1, 0.6)]
    engine = convert(yolo(tmp_path, raw_output(anchors, classes=2), metadata=facts))
    assert engine.contract.labels == (Label(1, "driver's seat"), Label(2, "left door"))
    assert engine.detect(PHOTO).labels.tolist() == [1]


def test_any_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exported with dynamic=True: the size comes from the metadata, or from the command."""
    shapes = {"output0": ("batch", 116, "anchors"), "output1": ("batch", 32, "h", "w")}
    source = yolo(
        tmp_path,
        raw_output([Anchor((240.0, 280.0, 200.0, 100.0), 79, 0.6)]),
        shape=("batch", 3, "height", "width"),
        shapes=shapes,
    )
    assert str(convert(source).contract.resize) == "letterbox:640x640"
    assert str(convert(source, "--resize", "letterbox:320x256").contract.resize) == (
        "letterbox:320x256"
    )
    static = convert(source, "--static", "320", "256")
    assert str(static.contract.resize) == "letterbox:256x320"
    assert run(["convert", source, "-o", str(tmp_path / "n.xml"), "--resize", "none"]) == 1
    assert "32 divides" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("facts", "options", "reason"),
    [
        ({"task": "pose"}, [], "task 'pose'"),
        ({"names": "__import__('os').getcwd()"}, [], "names"),
        ({"names": "{0: 'a', 1: 'b'}"}, [], "2 labels, but the model has 80 classes"),
        ({}, ["--mask-frame", "box"], "leave out --mask-frame box"),
        ({}, ["--resize", "stretch:320x320"], "does not fit"),
    ],
)
def test_what_cannot_be(
    facts: dict[str, str], options: list[str], reason: str, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    source = yolo(tmp_path, raw_output([]), metadata=METADATA | facts)
    assert run(["convert", source, "-o", str(tmp_path / "m.xml"), *options]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert reason in err[0]
    assert not (tmp_path / "m.xml").exists()


@pytest.mark.parametrize("masks", [True, False])
def test_ultralytics_openvino_export(masks: bool, tmp_path: Path) -> None:
    """A folder with an IR whose outputs have no names, and facts in Model API's form."""
    folder = tmp_path / "yolo11n-seg_openvino_model"
    folder.mkdir()
    anchors = [Anchor((240.0, 280.0, 200.0, 100.0), 1, 0.6, prototype=0)]
    nm = PROTOTYPES if masks else 0
    source = yolo(tmp_path, raw_output(anchors, classes=2, nm=nm), masks=masks)
    model = ov.Core().read_model(source)
    for output in model.outputs:
        output.tensor.set_names(set())
    info = {
        "model_type": "YOLO",
        "reverse_input_channels": "True",
        "pad_value": "114",
        "scale_values": "255.0",
        "iou_threshold": "0.7",
        "labels": "left_door roof",
        "resize_type": "fit_to_window_letterbox",
    }
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])
    ov.save_model(model, folder / "yolo11n-seg.xml", compress_to_fp16=False)
    engine = convert(str(folder))
    assert engine.contract.family == "yolo"
    assert engine.contract.label_names == ("left_door", "roof")
    assert str(engine.contract.resize) == "letterbox:640x640"
    found = engine.detect(PHOTO)
    assert found.labels.tolist() == [1]
    assert found.boxes_xyxy_px.tolist() == [[280, 180, 680, 380]]
    if masks:
        expected = np.zeros((720, 1280), np.bool_)
        expected[180:380, 320:640] = True
        assert np.array_equal(painted(found, 0), expected)
