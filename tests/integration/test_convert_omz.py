"""Open Model Zoo's interfaces through the command: boxes, labels and masks to the pixel.

instance-segmentation-security-1040 (one input), 0050 (im_data and im_info) and the public Mask
R-CNNs of TensorFlow (image_tensor and image_info), the old ones as IR of version 10 without tensor
names. Their weights make known instances come out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from backend.runtime.contract import Label
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, RawOutputs
from backend.runtime.image import DecodedImage
from converter.cli import run

RED = (200, 20, 10)
PHOTO = DecodedImage(np.full((240, 320, 3), RED, np.uint8), 1, "")
CONVERT = ("--labels", "coco80", "--no-compress-to-fp16")


def save(
    path: Path,
    inputs: Mapping[str, tuple[int, ...]],
    outputs: Mapping[str, np.ndarray],
    *,
    seen: Mapping[str, ov.Node] | None = None,
    parameters: list[ov.Node] | None = None,
    version: int = 11,
) -> str:
    """An IR that gives `outputs`; `seen` is added to them."""
    images = parameters or [ops.parameter(s, np.float32, name=n) for n, s in inputs.items()]
    zero = ops.multiply(ops.reduce_max(images[0], np.array([0, 1, 2, 3])), np.float32(0))
    results = []
    for name, value in outputs.items():
        node = ops.add(ops.constant(value), ops.convert_like(zero, ops.constant(value)))
        if seen and name in seen:
            node = ops.add(node, seen[name])
        node.set_friendly_name(name)
        node.output(0).set_names({name})
        results.append(ops.result(node))
    for image in images:
        image.output(0).set_names({image.get_friendly_name()})
    ov.save_model(ov.Model(results, images, "omz"), path, compress_to_fp16=False)
    if version != 11:
        text = path.read_text()
        text = text.replace('version="11"', f'version="{version}"', 1)
        path.write_text(re.sub(r' names="[^"]*"', "", text))
    return str(path)


def convert(source: str, *options: str) -> Engine:
    target = Path(source).with_name("m.xml")
    assert run(["convert", source, "-o", str(target), *CONVERT, *options]) == 0
    return Engine(target, device="CPU", precision="f32")


def painted(found: Detections, index: int) -> np.ndarray:
    assert found.masks is not None
    crop = found.masks[index]
    frame = np.zeros((found.height, found.width), np.bool_)
    rows, columns = crop.pixels.shape
    frame[crop.y : crop.y + rows, crop.x : crop.x + columns] = crop.pixels
    return frame


def left_cells(cells: int, filled: int) -> np.ndarray:
    mask = np.zeros((cells, cells), np.float32)
    mask[:, :filled] = 1
    return mask


def expected(box: tuple[int, int, int, int], cells: int, filled: int) -> np.ndarray:
    """What `left_cells` must paint into a box: linear between the cells' centres, 0 outside."""
    x1, y1, x2, y2 = box
    frame = np.zeros((240, 320), np.bool_)
    across, down = _profile(x2 - x1, cells, filled), _profile(y2 - y1, cells, cells)
    frame[y1:y2, x1:x2] = np.outer(down, across) > 0.5
    return frame


def _profile(pixels: int, cells: int, filled: int) -> np.ndarray:
    position = (np.arange(pixels) + 0.5) * cells / pixels - 0.5
    return np.clip(np.minimum(position + 1, filled - position), 0, 1)


def pixel_of(image: ov.Node, channel: int) -> ov.Node:
    """One channel of the input at row 1, column 1, as the graph sees it."""
    begin = np.array([0, channel, 1, 1])
    return ops.reshape(
        ops.slice(image, begin, begin + 1, np.ones(4, np.int64)), np.array([1]), False
    )


# --- one input: instance-segmentation-security-0002, 0091, 1039, 1040


def new_form(folder: Path, side: int, cells: int, rows: int = 100) -> str:
    """`rows` rows, of which two are real; the others have the score 0, as in these models."""
    boxes = np.zeros((rows, 5), np.float32)
    boxes[0] = (0, 0, side / 2, side, 0.9)
    boxes[1] = (side / 4, side / 4, side / 2, side / 2, 0.6)
    labels = np.zeros(rows, np.int32)
    labels[:2] = (79, 0)
    masks = np.zeros((rows, cells, cells), np.float32)
    masks[0] = left_cells(cells, cells // 2)
    masks[1] = 1
    image = ops.parameter([1, 3, side, side], np.float32, name="image")
    return save(
        folder / "instance-segmentation-security-1040.xml",
        {},
        {"labels": labels, "boxes": boxes, "masks": masks},
        parameters=[image],
    )


@pytest.mark.parametrize(("side", "cells"), [(608, 28), (480, 14)], ids=["1040", "1039"])
def test_one_input(side: int, cells: int, tmp_path: Path) -> None:
    engine = convert(new_form(tmp_path, side, cells), "--resize", f"stretch:{side}x{side}")
    assert (engine.contract.family, engine.contract.mask_frame) == ("model-api", "box")
    found = engine.detect(PHOTO)
    assert [engine.contract.labels[i] for i in found.labels] == [
        Label(90, "toothbrush"),
        Label(1, "person"),
    ]
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 160, 240], [80, 60, 160, 120]]
    assert np.array_equal(painted(found, 0), expected((0, 0, 160, 240), cells, cells // 2))
    assert np.array_equal(painted(found, 1), expected((80, 60, 160, 120), cells, cells))


# --- two inputs: instance-segmentation-security-0010, 0033, 0049, 0050, 0083


def im_info_form(folder: Path, *, real: int = 2, version: int = 10) -> str:
    """480x480; three rows of 100 are filled, the third is background."""
    boxes, scores = np.zeros((100, 4), np.float32), np.zeros(100, np.float32)
    classes = np.zeros(100, np.float32)
    raw_masks = np.zeros((100, 81, 28, 28), np.float32)
    if real:
        boxes[:3] = [[0, 0, 240, 360], [120, 90, 240, 180], [0, 0, 480, 480]]
        scores[:3] = (0.9, 0.6, 0.5)
        classes[:3] = (80, 1, 0)
        raw_masks[0, 80] = left_cells(28, 14)
        raw_masks[1, 1] = 1
        raw_masks[2, 0] = 1
    data = ops.parameter([1, 3, 480, 480], np.float32, name="im_data")
    info = ops.parameter([1, 3], np.float32, name="im_info")
    # A box's side that the graph computes with what im_info says: 480 - 480 * scale.
    height, width, scale = (
        ops.gather(ops.squeeze(info, np.int64(0)), np.int64(i), np.int64(0)) for i in range(3)
    )
    off = ops.subtract(ops.add(height, width), ops.multiply(scale, np.float32(960)))
    return save(
        folder / "instance-segmentation-security-0050.xml",
        {},
        {"boxes": boxes, "classes": classes, "scores": scores, "raw_masks": raw_masks},
        seen={"boxes": off, "scores": ops.multiply(pixel_of(data, 0), np.float32(0))},
        parameters=[data, info],
        version=version,
    )


@pytest.mark.parametrize("version", [10, 11])
def test_im_info(version: int, tmp_path: Path) -> None:
    engine = convert(im_info_form(tmp_path, version=version), "--resize", "fit:480x480")
    assert (engine.contract.family, engine.contract.mask_frame) == ("omz-im-info", "box")
    found = engine.detect(PHOTO)  # 320x240 becomes 480x360
    assert [engine.contract.labels[i].id for i in found.labels] == [90, 1]
    np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=1e-6)
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 160, 240], [80, 60, 160, 120]]
    assert np.array_equal(painted(found, 0), expected((0, 0, 160, 240), 28, 14))
    assert np.array_equal(painted(found, 1), expected((80, 60, 160, 120), 28, 28))


def test_im_info_finds_nothing(tmp_path: Path) -> None:
    raw = infer(convert(im_info_form(tmp_path, real=0), "--resize", "fit:480x480"))
    assert raw.boxes.shape == (0, 5)
    assert raw.masks is not None
    assert raw.masks.shape == (0, 28, 28)


# --- the public Mask R-CNNs of TensorFlow


def image_info_form(folder: Path) -> str:
    """400x600; class 90 is the mask number 89. Rows of the image -1 are padding."""
    table = np.zeros((100, 7), np.float32)
    table[:, 0] = -1
    table[2:, 2] = 0.4  # rows after the last one hold anything
    table[:2] = [[0, 90, 0.9, 0, 0, 0.5, 1], [0, 1, 0.6, 0.25, 0.25, 0.5, 0.5]]
    masks = np.zeros((100, 90, 33, 33), np.float32)
    masks[0, 89] = left_cells(33, 16)
    masks[1, 0] = 1
    tensor = ops.parameter([1, 3, 400, 600], np.float32, name="image_tensor")
    info = ops.parameter([1, 3], np.float32, name="image_info")
    height = ops.gather(ops.squeeze(info, np.int64(0)), np.int64(0), np.int64(0))
    return save(
        folder / "mask_rcnn_resnet50_atrous_coco.xml",
        {},
        {"reshape_do_2d": table, "masks": masks},
        seen={"reshape_do_2d": ops.subtract(height, np.float32(400))},
        parameters=[tensor, info],
        version=10,
    )


def test_image_info(tmp_path: Path) -> None:
    source = image_info_form(tmp_path)
    target = tmp_path / "m.xml"
    options = ["--labels", "coco91", "--resize", "stretch:600x400", "--no-compress-to-fp16"]
    assert run(["convert", source, "-o", str(target), *options]) == 0
    engine = Engine(target, device="CPU", precision="f32")
    assert (engine.contract.family, engine.contract.mask_frame) == ("omz-image-info", "box")
    found = engine.detect(PHOTO)
    assert [engine.contract.labels[i].id for i in found.labels] == [90, 1]
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 160, 240], [80, 60, 160, 120]]
    assert np.array_equal(painted(found, 0), expected((0, 0, 160, 240), 33, 16))
    assert np.array_equal(painted(found, 1), expected((80, 60, 160, 120), 33, 33))


# --- what all have in common


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_they_see_bgr(channel: int, tmp_path: Path) -> None:
    data = ops.parameter([1, 3, 480, 480], np.float32, name="im_data")
    info = ops.parameter([1, 3], np.float32, name="im_info")
    seen = ops.add(
        pixel_of(data, channel), ops.multiply(ops.reduce_max(info, np.array([0, 1])), np.float32(0))
    )
    source = save(
        tmp_path / "see.xml",
        {},
        {
            "boxes": np.array([[0, 0, 100, 100]], np.float32),
            "classes": np.array([1], np.float32),
            "scores": np.array([0.5], np.float32),
            "raw_masks": np.ones((1, 81, 2, 2), np.float32),
        },
        seen={"boxes": seen},
        parameters=[data, info],
    )
    raw = infer(convert(source, "--resize", "fit:480x480"))
    assert raw.boxes[0, :4].tolist() == [RED[2 - channel] + v for v in (0, 0, 100, 100)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ([], "--resize stretch:480x480"),
        (["--resize", "fit:480x480", "--mask-frame", "image"], "leave out --mask-frame image"),
        (["--resize", "fit:480x480", "--labels", "FILE"], "goes up to the class 82"),
    ],
)
def test_what_cannot_be(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"name{i}" for i in range(82)))
    source = im_info_form(tmp_path)
    options = [str(names) if option == "FILE" else option for option in options]
    assert run(["convert", source, "-o", str(tmp_path / "m.xml"), *CONVERT, *options]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert reason in err[0]


def infer(engine: Engine) -> RawOutputs:
    return engine.infer(PHOTO)[0]
