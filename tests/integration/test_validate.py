"""`labelvino-model validate`: what is the same passes, each kind of mistake is caught."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import broken_ir
import numpy as np
import pytest
from broken_ir import Surgery, save_broken
from quantization.scene_set import write_scenes
from sdk import ROOT, environment_python
from test_convert_yolo import FORMS, PHOTO, Anchor, yolo
from test_convert_yolo import convert as convert_yolo
from toy_onnx import save_onnx

from backend.demo import MODEL_PATH
from backend.runtime.overlay import encode_png
from converter.cli import run

SAVED_MODEL = ROOT / "training" / "saved_model"
ONNX = "mask_rcnn_2go_onnx/mask_rcnn_2go_fp32.onnx"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures that the demo's model knows."""
    folder = tmp_path_factory.mktemp("scenes") / "scenes"
    write_scenes(folder, 0, 6)
    return folder


def validate(*arguments: object) -> int:
    return run(["validate", *map(str, arguments)])


def test_the_demo_model_is_its_source(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = validate(SAVED_MODEL, MODEL_PATH, "--images", scenes, "--json", "--report", tmp_path)
    report = json.loads(capsys.readouterr().out)
    assert code == 0
    assert report["passed"]
    assert report["f32"]["matches"] == report["f32"]["source"] == report["f32"]["model"] > 10
    assert report["source"]["runs_in"].startswith("OpenVINO")
    assert "tensorflow is not installed" in report["source"]["note"]
    assert report["default"]["share"] > 0.9
    # The heatmap, before its best 40 places are chosen.
    assert max(gap["elements"] for gap in report["tensors"]) >= 4 * 12800
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert "data:image/jpeg;base64," in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize(
    ("surgery", "fails", "why"),
    [
        (broken_ir.swap_x_and_y, "matched instances", "missing"),
        (broken_ir.shift_labels_by_one, "matched instances", "label"),
        (broken_ir.swap_red_and_blue, "tensors before selection, share of range", None),
        (broken_ir.subtract_a_wrong_mean, "tensors before selection, share of range", None),
        (broken_ir.shift_masks_by_half_a_cell, "raw mask, where boxes agree", None),
        (broken_ir.lose_the_best, "matched instances", "score"),
    ],
)
def test_a_broken_ir_is_caught(
    surgery: Surgery,
    fails: str,
    why: str | None,
    scenes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 3, and the report names what does not hold, in which images, and how."""
    broken = save_broken(MODEL_PATH, tmp_path / "broken.xml", surgery)
    code = validate(SAVED_MODEL, broken, "--images", scenes, "--json", "--report", tmp_path / "out")
    report = json.loads(capsys.readouterr().out)
    assert code == 3
    assert not report["passed"]
    assert fails in failed(report)
    if surgery is broken_ir.shift_masks_by_half_a_cell:
        assert "matched instances" not in failed(report)
        assert report["f32"]["box_px"]["p100"] < 1
        assert "mask IoU, where boxes agree" in failed(report)
    if why:
        reasons = [d["why"] for image in report["images"] for d in image["differing"]]
        assert max(set(reasons), key=reasons.count) == why
    assert '"state": "alone"' in (tmp_path / "out" / "index.html").read_text() or why is None


def test_limits_are_options(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shifted = save_broken(MODEL_PATH, tmp_path / "b.xml", broken_ir.shift_masks_by_half_a_cell)
    arguments = (SAVED_MODEL, shifted, "--images", scenes)
    assert validate(*arguments) == 3
    text = capsys.readouterr().out
    assert "NOT raw mask" in text
    assert text.rstrip().endswith("NOT the same")
    assert validate(*arguments, "--max-mask-gap", 1, "--min-mask-iou", 0.5) == 0
    assert capsys.readouterr().out.rstrip().endswith("\nthe same")
    assert validate(SAVED_MODEL, MODEL_PATH, "--images", scenes, "--max-tensor-gap", 0) == 3


def test_the_default_precision_counts_when_asked(
    scenes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (SAVED_MODEL, MODEL_PATH, "--images", scenes, "--json")
    code = validate(*arguments, "--min-matched-default", 0.5)
    assert code == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    assert checks[-1]["name"] == "matched instances at the default precision"


def test_pictures_without_things_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "grey.png").write_bytes(encode_png(np.full((60, 80, 3), 128, np.uint8)))
    assert validate(SAVED_MODEL, MODEL_PATH, "--images", tmp_path) == 1
    assert "proves nothing" in capsys.readouterr().err


def test_a_framework_that_is_not_there(scenes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = (SAVED_MODEL, MODEL_PATH, "--images", scenes, "--framework")
    assert validate(*arguments, "tensorflow") == 1
    assert "tensorflow is not installed here" in capsys.readouterr().err
    assert validate(*arguments, "onnxruntime") == 1
    assert "leave the option out" in capsys.readouterr().err


def test_the_demo_model_against_tensorflow_itself(scenes: Path) -> None:
    python = environment_python("tensorflow", "LABELVINO_TENSORFLOW_PYTHON")
    command = [python, "-m", "converter.cli", "validate", SAVED_MODEL, MODEL_PATH]
    done = subprocess.run(
        [*command, "--images", scenes, "--json"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["source"]["runs_in"].startswith("TensorFlow 2.")
    assert report["source"]["own_framework"]
    assert report["f32"]["share"] == 1.0
    assert report["f32"]["box_px"]["p90"] < 1


@pytest.fixture
def toy_onnx(tmp_path: Path) -> Path:
    """A model that sees one pixel: the first box's left edge moves with its red."""
    boxes = np.float32([[10, 10, 40, 40, 0.9], [50, 20, 70, 60, 0.8]])
    outputs = {"boxes": boxes, "labels": np.array([0, 1]), "masks": np.ones((2, 4, 4), np.float32)}
    seen = {"boxes": ((0, 0), (2, 5, 5))}  # BGR: channel 2 is red
    return save_onnx(
        tmp_path / "toy.onnx",
        ("image", (1, 3, "height", "width")),
        outputs,
        shapes={"boxes": ("n", 5), "labels": ("n",), "masks": ("n", 4, 4)},
        seen=seen,
    )


def convert(source: Path, target: Path, *options: str) -> Path:
    labels = target.with_suffix(".txt")
    labels.write_text("cat\ndog\n")
    arguments = ["convert", str(source), "-o", str(target), "--labels", str(labels)]
    assert run([*arguments, "--resize", "stretch:80x80", *options]) == 0
    return target


@pytest.mark.parametrize("framework", ["onnxruntime", "openvino"])
def test_onnx_in_its_runtime_and_in_openvino(
    framework: str, toy_onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The right conversion passes; one with the wrong channel order does not, in either."""
    images = tmp_path / "images"
    images.mkdir()
    pixels = np.zeros((80, 80, 3), np.uint8)
    pixels[..., 0], pixels[..., 2] = 4, 20  # little red, more blue
    (images / "a.png").write_bytes(encode_png(pixels))
    right = convert(toy_onnx, tmp_path / "right.xml", "--color-order", "bgr")
    wrong = convert(toy_onnx, tmp_path / "wrong.xml", "--color-order", "rgb")
    options = ("--images", images, "--framework", framework, "--color-order", "bgr", "--json")
    capsys.readouterr()
    assert validate(toy_onnx, right, *options) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["source"]["own_framework"] == (framework == "onnxruntime")
    assert report["f32"]["box_px"]["p100"] == pytest.approx(0, abs=1e-4)
    assert validate(toy_onnx, wrong, *options) == 3
    assert "matched instances" in failed(json.loads(capsys.readouterr().out))


def test_a_real_model_in_onnx_runtime(
    shared_dir: Path, photos_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """MaskRCNN2Go: boxes, masks, and two tensors before its proposals are chosen."""
    images = tmp_path / "images"
    images.mkdir()
    for photo in sorted(photos_dir.iterdir())[::12]:
        (images / photo.name).symlink_to(photo)
    source = shared_dir / "models" / ONNX
    arguments = ["convert", str(source), "-o", str(tmp_path / "m.xml"), "--labels", "coco80"]
    assert run([*arguments, "--resize", "shortest-edge:320:640", "--color-order", "bgr"]) == 0
    capsys.readouterr()
    code = validate(source, tmp_path / "m.xml", "--images", images, "--json")
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report["checks"]
    assert report["source"]["runs_in"].startswith("ONNX Runtime")
    assert report["f32"]["matches"] > 20
    assert len(report["tensors"]) == 2


@pytest.mark.parametrize("form", ["raw", "selected"])
def test_yolo_is_read_apart_from_the_converter(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Suppression, labels and image-wide masks; two of one class cover each other, two do not."""
    anchors = [
        Anchor((240.0, 280.0, 200.0, 100.0), 79, 0.6, prototype=0),
        Anchor((320.0, 320.0, 100.0, 80.0), 0, 0.9, prototype=1),
        Anchor((300.0, 320.0, 100.0, 80.0), 0, 0.8, prototype=1),
    ]
    if form == "raw":  # which suppresses: an IoU of 0.9 with the second
        anchors.append(Anchor((325.0, 320.0, 100.0, 80.0), 0, 0.7, prototype=0))
    source = yolo(tmp_path, FORMS[form](anchors))
    model = Path(source).with_name("m.xml")
    convert_yolo(source)
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(encode_png(PHOTO.pixels))
    capsys.readouterr()
    assert validate(source, model, "--images", images, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["source"]["runs_in"].startswith("ONNX Runtime")
    assert report["f32"]["matches"] == report["f32"]["source"] == report["f32"]["model"] == 3
    assert report["f32"]["mask"]["p100"] < 1e-3
    broken = save_broken(model, tmp_path / "b.xml", broken_ir.swap_x_and_y)
    assert validate(source, broken, "--images", images, "--json") == 3


def failed(report: dict[str, Any]) -> set[str]:
    return {check["name"] for check in report["checks"] if not check["holds"]}
