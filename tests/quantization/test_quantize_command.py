"""`labelvino-model quantize` on the model of the demo."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from backend.demo import MODEL_PATH
from backend.runtime.contract import ir_digest
from backend.runtime.engine import Engine, load_contract, read_ir
from backend.runtime.image import DecodedImage
from backend.runtime.self_test import SelfTest
from converter.cli import run
from converter.coco_metrics import evaluate
from converter.ground_truth import category_ids, read_ground_truth
from converter.quantization_check import detect_all
from converter.quantization_scope import scope_of

COMMAND = Path(sys.executable).with_name("labelvino-model")


def quantize(target: Path, *options: str | Path, model: Path = MODEL_PATH) -> int:
    return run(["quantize", str(model), "-o", str(target), *map(str, options)])


@pytest.fixture(scope="module")
def done(
    tmp_path_factory: pytest.TempPathFactory, calibration: Path, check: Path
) -> tuple[Path, dict[str, Any]]:
    """The INT8 model, and what the command said of it."""
    target = tmp_path_factory.mktemp("int8") / "demo.xml"
    command = [COMMAND, "quantize", MODEL_PATH, "-o", target, "--calibration", calibration]
    ran = subprocess.run(
        [*command, "--check", check, "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert (ran.returncode, ran.stderr) == (0, "")  # NNCF is quiet
    return target, json.loads(ran.stdout)


@pytest.fixture(scope="module")
def int8(done: tuple[Path, dict[str, Any]]) -> Path:
    return done[0]


def test_the_summary(done: tuple[Path, dict[str, Any]]) -> None:
    target, said = done
    assert said["output"] == str(target)
    assert said["ir_digest"] == ir_digest(target)
    assert said["parent_digest"] == ir_digest(MODEL_PATH)
    assert said["layers_in_scope"] == 26
    assert (said["layers"], said["calibrated_on"], len(said["checked_on"])) == (26, 12, 24)
    assert said["agreement"]["share"] >= 0.95
    assert said["agreement"]["parent"] > 80
    assert said["size_bytes"] < 0.7 * said["parent_bytes"]
    assert sorted(p.name for p in target.parent.iterdir()) == ["demo.bin", "demo.xml"]


def test_the_facts_are_the_parents_but_for_the_precision(int8: Path) -> None:
    parent, child = load_contract(MODEL_PATH), load_contract(int8)
    assert child.precision == "int8"
    assert child.parent_digest == ir_digest(MODEL_PATH)
    for fact in ("name", "labels", "resize", "mask_frame", "family", "source_digest"):
        assert getattr(child, fact) == getattr(parent, fact)


def test_the_self_test_is_its_own(int8: Path) -> None:
    before, after = SelfTest.read(read_ir(MODEL_PATH)), SelfTest.read(read_ir(int8))
    assert before is not None
    assert after is not None
    assert after.picture == before.picture
    assert after.seen != before.seen
    assert "0 missing" in after.run(Engine(int8, device="CPU", precision="f32"))


def test_weights_are_small_and_average_precision_stays(int8: Path, check: Path) -> None:
    assert int8.with_suffix(".bin").stat().st_size <= 0.6e6
    truth = read_ground_truth(check)
    ids = truth.image_ids_by_name()
    photos = [check.parent / name for name in ids]
    figures = []
    for xml in (MODEL_PATH, int8):
        engine = Engine(xml, device="CPU", precision="f32")
        found = detect_all(engine, photos, lambda _done, _all: None)
        by_id = dict(zip(ids.values(), found, strict=True))
        categories = category_ids(engine.contract.labels, truth)
        ap50 = evaluate(truth, by_id, categories, "mask").overall.ap50
        assert ap50 is not None
        figures.append(ap50)
    print(f"mask AP50 {figures[0]:.4f} -> {figures[1]:.4f}")
    assert figures[0] > 0.9
    assert figures[1] >= figures[0] - 0.01


def test_preparation_and_decoding_stay_as_they_are(int8: Path) -> None:
    """Every layer has eight-bit weights, and nothing else has lost bits."""
    before, after = read_ir(MODEL_PATH), read_ir(int8)
    scope = scope_of(before)
    kinds = {node.get_friendly_name(): node for node in after.get_ops()}
    for name in scope.ignored:
        if name in kinds:  # NNCF folds what converts weights
            inputs = [value.get_node().get_type_name() for value in kinds[name].input_values()]
            assert "FakeQuantize" not in inputs, name
    names = {node.get_friendly_name() for node in before.get_ops()}
    new = [n for n in after.get_ops() if n.get_friendly_name() not in names]
    assert {n.get_type_name() for n in new} <= {
        "FakeQuantize", "Constant", "Convert", "Subtract", "Multiply"
    }  # fmt: skip
    constants = [n for n in after.get_ops() if n.get_type_name() == "Constant"]
    eight_bits = [n for n in constants if n.get_element_type().to_string() == "i8"]
    assert len(eight_bits) == len(scope.layers)


def test_a_picture_without_things_has_no_detections(int8: Path) -> None:
    grey = DecodedImage(np.full((90, 120, 3), 128, np.uint8), 1, "")
    engine = Engine(int8, device="CPU", precision="f32")
    assert len(engine.detect(grey, min_score=0.3)) == 0


@pytest.fixture
def dark(tmp_path: Path) -> Path:
    """What was measured in darkness fits no picture."""
    folder = tmp_path / "dark"
    folder.mkdir()
    assert cv2.imwrite(str(folder / "dark.png"), np.full((64, 64, 3), 20, np.uint8))
    return folder


def test_too_little_agreement_is_exit_4_and_leaves_nothing(
    tmp_path: Path, dark: Path, calibration: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    assert quantize(out / "m.xml", "--calibration", dark, "--check", calibration) == 4
    said = capsys.readouterr()
    assert "the INT8 model agrees with its parent on" in said.err
    assert "less than 95.0% (--min-agreement)" in said.err
    assert "nothing was written" in said.err
    assert said.out == ""
    assert list(out.iterdir()) == []


def test_pictures_without_things_prove_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = tmp_path / "grey"
    pictures.mkdir()
    for grey in (90, 128):
        assert cv2.imwrite(str(pictures / f"{grey}.png"), np.full((64, 64, 3), grey, np.uint8))
    out = tmp_path / "out"
    out.mkdir()
    assert quantize(out / "m.xml", "--calibration", pictures) == 4
    assert "the parent finds nothing above 0.5 in the 1 images" in capsys.readouterr().err
    assert list(out.iterdir()) == []


def test_accuracy_control_takes_layers_back(
    tmp_path: Path, dark: Path, check: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = tmp_path / "few"
    few.mkdir()
    for photo in sorted(check.parent.glob("*.jpg"))[:6]:
        shutil.copyfile(photo, few / photo.name)
    options = ["--calibration", dark, "--check", few, "--annotations", check, "--json"]
    target = tmp_path / "m.xml"
    assert quantize(target, *options, "--max-drop", "0.05", "--min-agreement", "0.8") == 0
    said = json.loads(capsys.readouterr().out)
    ap = said["average_precision"]
    assert ap["parent"] > 0.7
    assert ap["result"] >= ap["parent"] - 0.05
    assert said["layers"] < said["layers_in_scope"] == 26


def test_the_output_is_not_the_model_and_int8_is_not_quantised_again(
    int8: Path, calibration: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(int8, "--calibration", calibration, "--force", model=int8) == 1
    assert "is the model itself" in capsys.readouterr().err
    assert quantize(int8, "--calibration", calibration) == 1
    assert "(--force)" in capsys.readouterr().err
    assert quantize(tmp_path / "m.xml", "--calibration", calibration, model=int8) == 1
    assert "is in INT8 already" in capsys.readouterr().err


def test_interrupted_it_leaves_nothing(tmp_path: Path, calibration: Path) -> None:
    many, folder = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    folder.mkdir()
    for i in range(25):
        for picture in calibration.iterdir():
            other = many / f"{i}-{picture.name}"
            other.write_bytes(picture.read_bytes() + bytes([i]))  # equal pictures count once
    command = [COMMAND, "quantize", MODEL_PATH, "-o", folder / "m.xml", "--calibration", many]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        while child.poll() is None and not _has_compiled(child.pid):
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=120)
    assert said.strip().splitlines()[-1] == "labelvino-model: interrupted"
    assert child.returncode == 130
    assert list(folder.iterdir()) == []


def _has_compiled(pid: int) -> bool:
    """Calibration has 300 pictures before it then, which takes longer than any wait here."""
    try:
        return "openvino_intel_cpu_plugin" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False


_WATCHED = """
import sys
calls = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "os.fork", "subprocess.Popen"):
        calls.append(event)
sys.addaudithook(hook)
import backend.runtime
from converter.nncf_run import load_nncf
nncf = load_nncf()
import openvino as ov
from openvino import opset13 as ops
import numpy as np
x = ops.parameter([1, 3, 8, 8], np.float32)
weights = ops.constant(np.ones((3, 3, 1, 1), np.float32))
y = ops.convolution(x, weights, [1, 1], [0, 0], [0, 0], [1, 1])
model = ov.Model([ops.result(y)], [x], "m")
nncf.quantize(model, nncf.Dataset([np.ones((1, 3, 8, 8), np.float32)]), subset_size=1)
import nncf.telemetry as telemetry
print(type(telemetry.telemetry).__name__, calls, "torch" in sys.modules)
"""


def test_neither_nncf_nor_openvino_calls_home() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _WATCHED],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env={k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip().splitlines()[-1] == "MagicMock [] False"
