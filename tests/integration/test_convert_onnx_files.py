"""ONNX files: weights beside them, opsets, operations that OpenVINO does not have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from toy_onnx import save_onnx

from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run

PHOTO = DecodedImage(np.full((32, 64, 3), 128, np.uint8), 1, "")
OPTIONS = ["--labels", "coco80", "--resize", "stretch:64x32", "--color-order", "rgb",
           "--no-compress-to-fp16"]  # fmt: skip


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """model.onnx, whose boxes [N,5] are kept in weights.bin."""
    folder = tmp_path / "in"
    folder.mkdir()
    boxes = np.zeros((300, 5), np.float32)
    boxes[0] = (0, 0, 32, 32, 0.9)
    labels = np.zeros(300, np.int64)
    path = save_onnx(folder / "model.onnx", ("image", (1, 3, 32, 64)),
                     {"boxes": boxes, "labels": labels})  # fmt: skip
    model = onnx.load(path)
    onnx.save_model(
        model, path, save_as_external_data=True, location="weights.bin", size_threshold=1000
    )
    return path


def refused(source: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    target = source.with_name("m.xml")
    assert run(["convert", str(source), "-o", str(target), *OPTIONS, *options]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert not target.exists()
    return lines[0]


def test_weights_beside_the_file(source: Path, tmp_path: Path) -> None:
    assert source.with_name("weights.bin").stat().st_size >= 6000
    target = tmp_path / "m.xml"
    assert run(["convert", str(source), "-o", str(target), *OPTIONS]) == 0
    engine = Engine(target, device="CPU", precision="f32")
    assert engine.contract.framework_version == "toy opset 17"
    assert engine.detect(PHOTO).boxes_xyxy_px.tolist() == [[0, 0, 32, 32]]


def test_weights_that_are_missing(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source.with_name("weights.bin").unlink()
    assert "keeps weights in weights.bin, which is not beside it" in refused(source, capsys)


def test_weights_that_were_cut_off(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = source.with_name("weights.bin")
    weights.write_bytes(weights.read_bytes()[:1000])
    assert "cannot be read as an ONNX model" in refused(source, capsys)


@pytest.mark.parametrize("location", ["../weights.bin", "/etc/passwd"])
def test_weights_elsewhere(location: str, source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (source.parent.parent / "weights.bin").write_bytes(source.with_name("weights.bin").read_bytes())
    model = onnx.load(source, load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    source.write_bytes(model.SerializeToString())
    assert f"keeps weights outside its folder ({location})" in refused(source, capsys)


@pytest.mark.parametrize(
    ("operation", "domain", "shown"),
    [("FancyNms", "", "FancyNms-17"), ("TRTBatchedNMS", "mmdeploy", "mmdeploy.TRTBatchedNMS")],
)
def test_an_operation_without_a_conversion(
    operation: str, domain: str, shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 64])
    boxes = helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [10, 5])
    node = helper.make_node(operation, ["image"], ["boxes"], domain=domain)
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    model = helper.make_model(
        helper.make_graph([node], "g", [image], [boxes]), opset_imports=opsets, ir_version=9
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    line = refused(path, capsys)
    assert f"no conversion for the operation {shown}" in line
    assert "--extension" in line


@pytest.mark.parametrize("opset", [11, 13, 17, 21])
def test_opsets(opset: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    boxes = np.array([[0, 0, 32, 32, 0.9]], np.float32)
    outputs = {"boxes": boxes, "labels": np.zeros(1, np.int64)}
    path = tmp_path / "model.onnx"
    save_onnx(path, ("image", (1, 3, 32, 64)), outputs, opset=opset)
    assert run(["convert", str(path), "-o", str(tmp_path / "m.xml"), *OPTIONS]) == 0
    assert run(["inspect", str(path)]) == 0
    assert f"onnx toy opset {opset}" in capsys.readouterr().out
