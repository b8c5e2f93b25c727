"""Files cut off anywhere, archives that mean harm, disks that are full: one line, nothing left."""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from own_disk import in_a_file_system_of_its_own
from toy_onnx import onnx_detector
from toy_sources import model_api_model, od_api_model, scaling_graph

from converter.cli import run

COMMAND = Path(sys.executable).with_name("labelvino-model")
OPTIONS = ["--labels", "coco80", "--resize", "none"]
BOX = (1.0, 2.0, 3.0, 4.0)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "out"
    folder.mkdir()
    return folder


def refused(source: Path, out: Path, capfd: pytest.CaptureFixture[str], *options: str) -> str:
    """The one line of a conversion that fails and leaves nothing."""
    assert run(["convert", str(source), "-o", str(out / "m.xml"), *(options or OPTIONS)]) == 1
    said, err = capfd.readouterr()
    assert said == ""
    (line,) = err.splitlines()
    assert line.startswith("labelvino-model: ")
    assert list(out.iterdir()) == []
    return line


def ir(folder: Path, model: ov.Model | None = None) -> Path:
    path = folder / "source.xml"
    ov.save_model(model or model_api_model([(BOX, 0.5, 0)]), path, compress_to_fp16=False)
    return path


def tflite(folder: Path) -> Path:
    path = folder / "a.tflite"
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(range(64)))
    return path


WHOLE: dict[str, Callable[[Path], Path]] = {
    "onnx": lambda folder: onnx_detector(folder / "a.onnx"),
    "pb": lambda folder: scaling_graph(folder / "a.pb"),
    "tflite": tflite,
    "xml": ir,
    "bin": lambda folder: ir(folder).with_suffix(".bin"),
}


@pytest.mark.parametrize("kept", [0.05, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_file_that_was_cut_off(
    kind: str, kept: float, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = WHOLE[kind](tmp_path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    source = path.with_suffix(".xml") if kind == "bin" else path
    assert str(source) in refused(source, out, capfd)


def tar(folder: Path, *members: tuple[str, bytes, bytes]) -> Path:
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = len(content), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(content))
    return path


def zipped(folder: Path, name: str, content: bytes) -> Path:
    path = folder / "model.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return path


FILE, LINK, DEVICE = tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE
ARCHIVES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "tar with ..": (lambda f: tar(f, ("../a.pb", b"x", FILE)), "leads out of its folder"),
    "tar with a link": (lambda f: tar(f, ("saved_model.pb", b"", LINK)), "the link"),
    "tar with a device": (lambda f: tar(f, ("saved_model.pb", b"", DEVICE)), "the device"),
    "tar bomb": (lambda f: tar(f, ("saved_model.pb", bytes(80 << 20), FILE)), "100 times its size"),
    "zip with ..": (lambda f: zipped(f, "../a.pb", b"x"), "leads out of its folder"),
    "zip bomb": (lambda f: zipped(f, "saved_model.pb", bytes(80 << 20)), "100 times its size"),
    "tar without a model": (lambda f: tar(f, ("readme.txt", b"hello", FILE)), "model.tar.gz"),
}


@pytest.mark.parametrize("case", ARCHIVES)
def test_an_archive_that_is_refused(
    case: str, tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    make, reason = ARCHIVES[case]
    inside = tmp_path / "in"
    inside.mkdir()
    source = make(inside)
    line = refused(source, out, capfd, "--labels", "coco91")
    assert re.search(reason, line), line
    assert [p.name for p in inside.iterdir()] == [source.name]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "out"]


def with_a_second_output(name: str) -> ov.Model:
    """Boxes twice: under their own name, and under another one that boxes have elsewhere."""
    model = model_api_model([(BOX, 0.5, 0)])
    boxes = next(r for r in model.get_results() if "boxes" in r.output(0).get_names())
    second = ops.add(boxes.input_value(0), np.float32(1))
    result = ops.result(second)
    result.output(0).set_names({name})
    model.add_results([result])
    return model


def without_names(model: ov.Model) -> ov.Model:
    for index, output in enumerate(model.outputs):
        output.tensor.set_names({f"Identity_{index}:0"})
        output.node.set_friendly_name(f"Identity_{index}:0")
    return model


def two_od_api_boxes() -> ov.Model:
    """Boxes twice, and no names that tell which are the selected ones."""
    model = od_api_model([((0.1, 0.1, 0.2, 0.2), 0.5, 1.0)], masks=False)
    boxes = next(r for r in model.get_results() if "detection_boxes:0" in r.output(0).get_names())
    result = ops.result(ops.multiply(boxes.input_value(0), np.float32(0.5)))
    model.add_results([result])
    return without_names(model)


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (lambda: with_a_second_output("dets"), "boxes.*dets|dets.*boxes"),
        (two_od_api_boxes, "Identity"),
    ],
    ids=["by name", "without names"],
)
def test_two_candidates_for_one_output(
    model: Callable[[], ov.Model],
    reason: str,
    tmp_path: Path,
    out: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    line = refused(ir(tmp_path, model()), out, capfd)
    assert re.search(reason, line), line


def test_a_label_list_that_is_too_short_is_seen_by_the_trial(
    tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The model does not say how many classes it has, but finds the third."""
    labels = tmp_path / "labels.txt"
    labels.write_text("hand\nface\n")
    source = ir(tmp_path, model_api_model([(BOX, 0.5, 2)]))
    line = refused(source, out, capfd, "--labels", str(labels), "--resize", "none")
    assert "a label has the value 2, not one within 0..1" in line


def heavy(folder: Path) -> Path:
    """An IR with 800 kB of weights."""
    model = model_api_model([(BOX, 0.5, 0)])
    weights = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    total = ops.reduce_sum(ops.constant(weights), np.array([0]), keep_dims=False)
    image = ops.reduce_max(model.input(0), np.array([0, 1, 2, 3]), keep_dims=False)
    zero = ops.multiply(ops.multiply(total, image), np.float32(0))
    boxes = next(r for r in model.get_results() if "boxes" in r.output(0).get_names())
    moved = ops.add(boxes.input_value(0), zero)
    boxes.input_value(0).tensor.set_names(set())
    moved.output(0).set_names({"boxes"})
    boxes.input(0).replace_source_output(moved.output(0))
    return ir(folder, model)


@pytest.mark.parametrize("kilobytes", [40, 300, 404])
def test_a_full_disk(kilobytes: int, tmp_path: Path) -> None:
    """400 kB of weights, then the graph, then the graph again with its self-test."""
    target = tmp_path / "disk" / "m.xml"
    command = [COMMAND, "convert", heavy(tmp_path), "-o", target, *OPTIONS]
    small = f"mount -t tmpfs -o size={kilobytes}k tmpfs {target.parent}"
    code, err, left = in_a_file_system_of_its_own(tmp_path, small, command)
    assert code == 1
    line = err.splitlines()[-1]
    assert line.startswith("labelvino-model: ")
    assert re.search("is the disk full|No space left", line), line
    assert "Traceback" not in err
    assert left == []


def test_a_read_only_target(tmp_path: Path) -> None:
    target = tmp_path / "disk" / "m.xml"
    command = [COMMAND, "convert", ir(tmp_path), "-o", target, *OPTIONS]
    disk = target.parent
    frozen = f"mount --bind {disk} {disk} && mount -o remount,bind,ro {disk}"
    code, err, left = in_a_file_system_of_its_own(tmp_path, frozen, command)
    assert code == 1
    assert f"the folder {disk} cannot be written to: Read-only file system." in err
    assert left == []


@pytest.mark.skipif(os.geteuid() == 0, reason="no permission stops root")
def test_a_folder_without_permission(
    tmp_path: Path, out: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = ir(tmp_path)
    out.chmod(stat.S_IRUSR | stat.S_IXUSR)
    assert "cannot be written to: Permission denied" in refused(source, out, capfd)
