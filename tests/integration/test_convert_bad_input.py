"""What cannot be converted: one clear line, the right exit code, nothing left behind."""

from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from toy_sources import model_api_model, od_api_model

from converter.cli import run

LABELLED = ["--labels", "coco80"]
PREPARED = [*LABELLED, "--resize", "none"]
BOX = (1.0, 2.0, 3.0, 4.0)
Made = tuple[Path, list[str]]


def saved(model: ov.Model, folder: Path, name: str = "source.xml", **info: str) -> Path:
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])
    path = folder / name
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def content(name: str, data: bytes) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        path = folder / name
        path.write_bytes(data)
        return path, []

    return make


def missing(folder: Path) -> Made:
    return folder / "nothing.onnx", LABELLED


def empty_folder(folder: Path) -> Made:
    path = folder / "model"
    path.mkdir()
    return path, LABELLED


def folder_without_model(folder: Path) -> Made:
    path, _ = empty_folder(folder)
    (path / "readme.txt").write_text("hello")
    return path, LABELLED


def truncated_saved_model(folder: Path) -> Made:
    path, _ = empty_folder(folder)
    (path / "saved_model.pb").write_bytes(b"\x08\x01\x12\xff\x10abc")
    return path / "saved_model.pb", LABELLED


def classifier(folder: Path) -> Made:
    image = ops.parameter([1, 3, 8, 8], np.float32)
    result = ops.result(ops.reduce_mean(image, np.array([2, 3]), keep_dims=False))
    result.output(0).set_names({"logits"})
    return saved(ov.Model([result], [image], "classifier"), folder), LABELLED


def without_weights(folder: Path) -> Made:
    path = saved(model_api_model([(BOX, 0.5, 0)]), folder)
    path.with_suffix(".bin").unlink()
    return path, PREPARED


def truncated_weights(folder: Path) -> Made:
    path = saved(model_api_model([(BOX, 0.5, 0)]), folder)
    weights = path.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:8])
    return path, PREPARED


def without_labels(folder: Path) -> Made:
    return saved(model_api_model([]), folder), ["--resize", "none"]


def without_resize(folder: Path) -> Made:
    return saved(model_api_model([]), folder), LABELLED


def with_labels(text: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        labels = folder / "labels.txt"
        labels.write_text(text)
        path = saved(model_api_model([]), folder, labels="background hand face")
        return path, ["--labels", str(labels), "--resize", "none"]

    return make


def with_facts(**info: str) -> Callable[[Path], Made]:
    return lambda folder: (saved(model_api_model([]), folder, **info), PREPARED)


def with_options(*options: str) -> Callable[[Path], Made]:
    return lambda folder: (saved(model_api_model([(BOX, 0.5, 0)]), folder), [*LABELLED, *options])


def od_with_options(*options: str) -> Callable[[Path], Made]:
    def make(folder: Path) -> Made:
        model = od_api_model([((0.1, 0.1, 0.2, 0.2), 0.5, 1.0)], masks=False)
        return saved(model, folder), [*LABELLED, *options]

    return make


CASES: dict[str, tuple[Callable[[Path], Made], int, str]] = {
    "no such file": (missing, 1, "there is no file or folder"),
    "empty folder": (empty_folder, 1, "is empty"),
    "folder without a model": (folder_without_model, 1, "no saved_model.pb"),
    "empty file": (content("a.onnx", b""), 1, "is empty"),
    "wrong extension": (content("a.zip", b"PK"), 1, "not a model that can be read"),
    "truncated saved_model.pb": (truncated_saved_model, 1, "cut off"),
    "truncated .pb": (content("a.pb", b"\x0a\xff\x10abc"), 1, "cut off"),
    "a .pb that is no graph": (content("a.pb", b"\x08\x01"), 1, "not a TensorFlow frozen graph"),
    "a text .pb": (content("a.pb", b"node { name: 'x' }"), 1, "a.pb"),
    "truncated .onnx": (content("a.onnx", b"\x08\x07\x3a\xff\x10abc"), 1, "cut off"),
    "an .onnx without a graph": (content("a.onnx", b"\x08\x07"), 1, "has no graph"),
    "an .onnx with an empty graph": (content("a.onnx", b"\x08\x07\x3a\x00"), 1, "has no graph"),
    "an .xml that is no IR": (content("a.xml", b"<a/>"), 1, "no weights beside it"),
    "TensorFlow Lite": (content("a.tflite", b"x"), 1, "not a TensorFlow Lite model"),
    "Keras": (content("a.keras", b"x"), 1, "Keras file"),
    "PyTorch": (content("a.pt", b"x"), 1, "PyTorch"),
    "a checkpoint": (content("model.ckpt-9.meta", b"x"), 1, "TensorFlow checkpoint file, which .*"),
    "a checkpoint's weights": (
        content("model.ckpt.data-00000-of-00001", b"x"), 1, "TensorFlow checkpoint file"
    ),
    "Paddle": (content("a.pdmodel", b"x"), 1, "PaddlePaddle file"),
    "classifier": (classifier, 1, "no detector or instance segmentation"),
    "no .bin": (without_weights, 1, "no weights beside it"),
    "truncated .bin": (truncated_weights, 1, "cannot be read as an OpenVINO IR"),
    "no labels": (without_labels, 1, "give --labels coco80, coco91 or a file"),
    "no resize rule": (without_resize, 1, "--resize shortest-edge:SHORT:LONG"),
    "labels of the wrong length": (with_labels("a\nb\nc"), 1, "3 labels, but .* 2 classes"),
    "labels with an id twice": (with_labels("1 a\n1 b"), 1, "twice"),
    "empty labels": (with_labels(""), 1, "has no labels"),
    "no label file": (with_options("--labels", "nothing.txt"), 1, "no label list"),
    "tiling": (with_facts(tile_size="400"), 1, "tiling"),
    "embedded preprocessing": (with_facts(embedded_processing="True"), 1, "embedded"),
    "wrong family": (with_options("--family", "od-api"), 1, "not of the family od-api"),
    "unknown family": (with_options("--family", "centernet"), 2, "--family"),
    "resize not understood": (with_options("--resize", "letterbox"), 1, "not understood"),
    "mean values not numbers": (with_options("--mean-values", "a,b"), 2, "no numbers"),
    "two mean values": (
        with_options("--resize", "none", "--mean-values", "1,2"), 1, "one number or three"
    ),
    "scale of 0": (with_options("--resize", "none", "--scale-values", "0"), 1, "must not be 0"),
    "threshold above 1": (with_options("--score-threshold", "2"), 2, "--score-threshold"),
    "BGR for od-api": (od_with_options("--color-order", "bgr"), 1, "leave out"),
    "mask frame of a detector": (od_with_options("--mask-frame", "box"), 1, "no masks"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_source(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, code, reason = CASES[case]
    inputs, outputs = tmp_path / "in", tmp_path / "out"
    inputs.mkdir()
    outputs.mkdir()
    source, options = make(inputs)
    assert run(["convert", str(source), "-o", str(outputs / "m.xml"), *options]) == code
    out, err = capfd.readouterr()
    assert out == ""
    *usage, line = err.splitlines()
    assert line.startswith("labelvino-model: " if code == 1 else "Error: ")
    assert re.search(reason, line), line
    assert code == 2 or usage == []
    assert list(outputs.iterdir()) == []


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "in").mkdir()
    return str(saved(model_api_model([(BOX, 0.5, 0)]), tmp_path / "in"))


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("m.onnx", "must end in .xml"),
        ("nowhere/m.xml", "there is no folder"),
        ("there.xml", "exists"),
        ("weights.xml", "weights.bin exists"),
        ("folder.xml", "is a folder"),
    ],
)
def test_bad_target(
    target: str, reason: str, source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there.xml").write_text("old")
    (tmp_path / "weights.bin").write_text("old")
    (tmp_path / "folder.xml").mkdir()
    before = sorted(tmp_path.rglob("*"))
    assert run(["convert", source, "-o", str(tmp_path / target), *PREPARED]) == 1
    assert reason in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "there.xml").read_text() == "old"


def test_a_folder_that_cannot_be_written_to(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For root, whom no permission stops, the refusal is played."""
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    assert run(["convert", source, "-o", str(folder / "m.xml"), *PREPARED]) == 1
    assert "cannot be written to: Permission denied" in capsys.readouterr().err
    assert list(folder.iterdir()) == []
