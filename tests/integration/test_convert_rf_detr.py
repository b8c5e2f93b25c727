"""RF-DETR-Seg through the command: boxes, labels and masks to the pixel.

The graph has the interface of rfdetr-seg's export at 432: input [1,3,432,432], dets [1,200,4],
labels [1,200,91], masks [1,200,108,108]. Its weights make known instances come out.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_onnx import save_onnx

from backend.runtime.contract import Label
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run

QUERIES, CLASSES, SIDE, CELLS = 200, 91, 432, 108
RED = (200, 20, 10)
PHOTO = DecodedImage(np.full((216, 864, 3), RED, np.uint8), 1, "")
# query, centre x, centre y, width, height, class, score
Query = tuple[int, tuple[float, float, float, float], int, float]
TOOTHBRUSH: Query = (7, (0.5, 0.5, 0.5, 0.5), 90, 0.9)
PERSON: Query = (3, (0.25, 0.5, 0.5, 1.0), 1, 0.6)


def logit(score: float) -> float:
    return float(np.log(score / (1 - score)))


def outputs(queries: list[Query], *, masks: str | None = "masks") -> dict[str, np.ndarray]:
    """Query 7's mask is the left half of the input, that of all others the upper half."""
    dets = np.full((1, QUERIES, 4), 0.1, np.float32)
    labels = np.full((1, QUERIES, CLASSES), -9.0, np.float32)
    for query, box, number, score in queries:
        dets[0, query] = box
        labels[0, query, number] = logit(score)
    found = {"dets": dets, "labels": labels}
    if masks:
        planes = np.full((1, QUERIES, CELLS, CELLS), -20.0, np.float32)
        planes[0, :, : CELLS // 2] = 20.0
        planes[0, 7] = -20.0
        planes[0, 7, :, : CELLS // 2] = 20.0
        found[masks] = planes
    return found


def save(folder: Path, found: dict[str, np.ndarray], **more: object) -> str:
    path = folder / "rfdetr-seg.onnx"
    return str(save_onnx(path, ("input", (1, 3, SIDE, SIDE)), found, **more))  # type: ignore[arg-type]


def convert(source: str, *options: str) -> Engine:
    target = Path(source).with_name("m.xml")
    command = ["convert", source, "-o", str(target), "--labels", "coco91", "--no-compress-to-fp16"]
    assert run([*command, *options]) == 0
    return Engine(target, device="CPU", precision="f32")


def test_nothing_found(tmp_path: Path) -> None:
    raw, _ = convert(save(tmp_path, outputs([]))).infer(PHOTO)
    assert raw.boxes.shape == (0, 5)
    assert raw.masks is not None
    assert raw.masks.shape == (0, CELLS, CELLS)


@pytest.mark.parametrize("name", ["masks", "4245"], ids=["named", "as torch numbers it"])
def test_boxes_labels_and_masks_to_the_pixel(name: str, tmp_path: Path) -> None:
    engine = convert(save(tmp_path, outputs([PERSON, TOOTHBRUSH], masks=name)))
    contract = engine.contract
    assert (contract.family, contract.mask_frame) == ("rf-detr", "image")
    assert str(contract.resize) == "stretch:432x432"
    found = engine.detect(PHOTO)
    np.testing.assert_allclose(found.scores, [0.9, 0.6], atol=1e-6)
    assert [contract.labels[i] for i in found.labels] == [
        Label(90, "toothbrush"),
        Label(1, "person"),
    ]
    np.testing.assert_allclose(
        found.boxes_xyxy_px, [[216, 54, 648, 162], [0, 0, 432, 216]], atol=1e-3
    )
    assert found.masks is not None
    # the left half of the input within the box; the upper half within the box
    for crop, (x, y, width, height) in zip(
        found.masks, [(216, 54, 216, 108), (0, 0, 432, 108)], strict=True
    ):
        assert (crop.x, crop.y, crop.pixels.shape) == (x, y, (height, width))
        assert crop.pixels.all()


def test_one_query_may_be_two_classes(tmp_path: Path) -> None:
    """As RF-DETR itself counts: pairs of query and class."""
    raw, _ = convert(save(tmp_path, outputs([TOOTHBRUSH, (7, TOOTHBRUSH[1], 2, 0.4)]))).infer(PHOTO)
    assert raw.labels.tolist() == [79, 1]
    np.testing.assert_array_equal(raw.boxes[0, :4], raw.boxes[1, :4])
    assert raw.masks is not None
    np.testing.assert_array_equal(raw.masks[0], raw.masks[1])


def test_a_class_that_does_not_exist_counts_nothing(tmp_path: Path) -> None:
    """COCO has no category 12, and 0 is nothing."""
    wrong = [(7, TOOTHBRUSH[1], 12, 0.9), (8, TOOTHBRUSH[1], 0, 0.9)]
    raw, _ = convert(save(tmp_path, outputs([*wrong, PERSON]))).infer(PHOTO)
    assert raw.labels.tolist() == [0]


def test_at_most_300_pairs(tmp_path: Path) -> None:
    found = outputs([])
    found["labels"][0, :, 1:4] = 0.0  # 600 pairs of 0.5
    raw, _ = convert(save(tmp_path, found)).infer(PHOTO)
    assert raw.boxes.shape == (300, 5)


def test_a_detector(tmp_path: Path) -> None:
    engine = convert(save(tmp_path, outputs([TOOTHBRUSH], masks=None)))
    assert engine.contract.mask_frame is None
    np.testing.assert_allclose(engine.detect(PHOTO).boxes_xyxy_px, [[216, 54, 648, 162]], atol=1e-3)


@pytest.mark.parametrize("channel", [0, 1, 2])
def test_the_graph_sees_imagenets_normalisation(channel: int, tmp_path: Path) -> None:
    """A pixel, as the graph gets it, is added to a box's centre."""
    seen = {"dets": ((0, 7, 0), (channel, 100, 100))}
    source = save(tmp_path, outputs([TOOTHBRUSH]), seen=seen)
    raw, _ = convert(source).infer(PHOTO)
    mean, scale = (0.485, 0.456, 0.406)[channel], (0.229, 0.224, 0.225)[channel]
    value = (RED[channel] / 255 - mean) / scale
    assert raw.boxes[0, 0] == pytest.approx((0.5 + value - 0.25) * SIDE, abs=0.01)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--mask-frame", "box"], "leave out --mask-frame box"),
        (["--resize", "stretch:640x640"], "does not fit"),
        (["--labels", "FILE"], "goes up to the id 95"),
    ],
)
def test_what_cannot_be(
    options: list[str], reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"name{i}" for i in range(95)))
    source = save(tmp_path, outputs([]))
    options = [str(names) if option == "FILE" else option for option in options]
    command = ["convert", source, "-o", str(tmp_path / "m.xml"), "--labels", "coco91"]
    assert run([*command, *options]) == 1
    err = capsys.readouterr().err.splitlines()
    assert len(err) == 1
    assert reason in err[0]
