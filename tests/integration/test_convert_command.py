"""`labelvino-model` on tiny models: what it writes, says, keeps and cleans up."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from toy_sources import model_api_model, od_api_model

from backend.runtime.contract import Label, ir_digest
from backend.runtime.engine import Engine, read_ir
from backend.runtime.image import DecodedImage
from backend.runtime.self_test import SelfTest
from converter.cli import run

COMMAND = Path(sys.executable).with_name("labelvino-model")
GREY = DecodedImage(np.full((100, 200, 3), 128, np.uint8), 1, "")


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A toothbrush in the right half; a second row is padding."""
    rows = [((0.0, 0.5, 1.0, 1.0), 0.9, 90.0), ((0.0, 0.0, 1.0, 1.0), 0.8, 1.0)]
    path = tmp_path / "source.xml"
    ov.save_model(od_api_model(rows, count=1), path, compress_to_fp16=False)
    return str(path)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "m.xml"


def convert(source: str, target: Path, *options: str) -> int:
    return run(["convert", source, "-o", str(target), "--labels", "coco91", *options])


def saved_api_model(folder: Path, shape: tuple[int, ...], **info: str) -> str:
    model = model_api_model([((1.0, 2.0, 3.0, 4.0), 0.9, 1)], shape=shape)
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])
    path = folder / "api.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return str(path)


def test_convert_and_detect(source: str, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(source, target, "--name", "brush", "--score-threshold", "0.3") == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"wrote {target} (od-api, 80 labels" in err
    assert sorted(p.name for p in target.parent.iterdir()) == ["m.bin", "m.xml"]
    engine = Engine(target, device="CPU")
    assert (engine.contract.name, engine.contract.score_threshold) == ("brush", 0.3)
    found = engine.detect(GREY)
    assert found.boxes_xyxy_px.tolist() == [[100.0, 0.0, 200.0, 100.0]]
    assert engine.contract.labels[found.labels[0]] == Label(90, "toothbrush")


def test_the_ir_carries_a_self_test(source: str, target: Path) -> None:
    assert convert(source, target) == 0
    self_test = SelfTest.read(read_ir(target))
    assert self_test is not None
    said = self_test.run(Engine(target, device="CPU", precision="f32"))
    assert said == "self-test: 1 clear instances, 0 missing, 0 new"


def test_a_fixed_size(source: str, target: Path) -> None:
    assert convert(source, target, "--static", "64", "96") == 0
    engine = Engine(target, device="CPU")
    assert str(engine.contract.resize) == "fit:96x64"
    assert str(read_ir(target).input("image").partial_shape) == "[1,64,96,3]"
    # 200x100 becomes 96x48, and the right half of the padded input is seen
    (box,) = engine.detect(GREY).boxes_xyxy_px.tolist()
    assert box == pytest.approx([100.0, 0.0, 200.0, 100.0])


def test_a_fixed_size_that_the_graph_cannot_have(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved_api_model(tmp_path, (1, 3, 64, 64))
    graph = read_ir(source)
    fixed = ops.reshape(graph.input(0), np.array([1, 3, 64, 64]), special_zero=False)
    for result in graph.get_results():
        zero = ops.reduce_max(fixed, np.array([0, 1, 2, 3]), keep_dims=False)
        kind = result.input_value(0).get_element_type()
        added = ops.add(result.input_value(0), ops.convert(ops.multiply(zero, np.float32(0)), kind))
        added.output(0).set_names(result.output(0).get_names())
        result.input(0).replace_source_output(added.output(0))
    ov.save_model(graph, tmp_path / "fixed.xml")
    code = convert(str(tmp_path / "fixed.xml"), target, "--resize", "stretch:64x64", "--static",
                   "32", "32")  # fmt: skip
    assert code == 1
    assert "cannot have the fixed input 32 32" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == []


def test_json_summary(source: str, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert(source, target, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["output"] == str(target)
    assert summary["family"] == "od-api"
    assert summary["resize"] == "none"
    assert summary["mask_frame"] == "box"
    assert summary["ir_digest"] == ir_digest(target)
    assert list(summary["seconds"]) == ["load", "adapt", "write", "verify"]
    assert summary["peak_memory_bytes"] > 0
    assert summary["trial_peak_memory_bytes"] > 0


def test_converting_our_own_ir_again_changes_nothing(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved_api_model(tmp_path, (1, 3, -1, -1))
    said = ("--resize", "none", "--mask-frame", "image", "--score-threshold", "0.25")
    assert convert(source, target, *said) == 0
    again = target.with_name("again.xml")
    assert run(["convert", str(target), "-o", str(again)]) == 0
    first, second = Engine(target, device="CPU"), Engine(again, device="CPU")
    for fact in ("labels", "resize", "mask_frame", "score_threshold", "precision"):
        assert getattr(second.contract, fact) == getattr(first.contract, fact)
    assert second.detect(GREY).boxes_xyxy_px.tolist() == first.detect(GREY).boxes_xyxy_px.tolist()
    capsys.readouterr()
    assert run(["convert", str(target), "-o", str(again), "--force", "--color-order", "bgr"]) == 1
    assert "prepares its input already" in capsys.readouterr().err


def test_the_same_source_gives_the_same_digest(source: str, target: Path) -> None:
    other = target.with_name("other.xml")
    assert convert(source, target) == 0
    assert convert(source, other) == 0
    assert ir_digest(target) == ir_digest(other)


def test_facts_of_model_api_are_used(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved_api_model(
        tmp_path,
        (1, 3, 32, 64),
        labels="otx_empty_lbl hand face",
        resize_type="fit_to_window",
        reverse_input_channels="True",
        mean_values="1 2 3",
        confidence_threshold="0.4",
    )
    assert run(["convert", source, "-o", str(target)]) == 0
    err = capsys.readouterr().err
    assert "2 labels" in err
    assert "--color-order rgb" in err
    assert "1 2 3" in err
    contract = Engine(target, device="CPU").contract
    assert contract.label_names == ("hand", "face")
    assert str(contract.resize) == "fit:64x32"
    assert contract.score_threshold == 0.4


def test_what_is_assumed_is_said(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved_api_model(tmp_path, (1, 3, -1, -1))
    assert convert(source, target, "--resize", "none") == 0
    assert "--color-order bgr" in capsys.readouterr().err


def test_force_replaces_both_files(source: str, target: Path) -> None:
    target.write_text("old")
    target.with_suffix(".bin").write_text("old")
    assert convert(source, target, "--force") == 0
    assert len(Engine(target, device="CPU").detect(GREY)) == 1
    assert sorted(p.name for p in target.parent.iterdir()) == ["m.bin", "m.xml"]


def crashing_python(folder: Path, script: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("kill -SEGV $$", "OpenVINO crashed .SIGSEGV."),
        ("exec sleep 60", "within 1 s"),
        ("echo no module >&2; exit 1", "could not be tried: no module"),
        ("""echo '{"error": "the outputs are wrong."}'""", "does not work: the outputs are wrong"),
    ],
)
def test_a_trial_that_fails_leaves_what_was_there(
    script: str,
    reason: str,
    source: str,
    target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target.write_text("old")
    target.with_suffix(".bin").write_text("old weights")
    monkeypatch.setattr(sys, "executable", crashing_python(tmp_path, script))
    assert convert(source, target, "--force", "--timeout", "1") == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert re.search(reason, err), err
    assert sorted(p.name for p in target.parent.iterdir()) == ["m.bin", "m.xml"]
    assert target.read_text() == "old"
    assert target.with_suffix(".bin").read_text() == "old weights"


def test_boxes_that_are_no_numbers_are_seen(
    tmp_path: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nan.xml"
    model = model_api_model([((1.0, 2.0, float("nan"), 4.0), 0.9, 1)])
    ov.save_model(model, path, compress_to_fp16=False)
    # FP16 compression would make a number of it.
    assert convert(str(path), target, "--resize", "none", "--no-compress-to-fp16") == 1
    assert "not finite" in capsys.readouterr().err
    assert list(target.parent.iterdir()) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "terminate"]
)
def test_an_interrupted_conversion_cleans_up(
    number: signal.Signals, code: int, source: str, target: Path
) -> None:
    command = [COMMAND, "convert", source, "-o", target, "--labels", "coco91"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 60
        while not list(target.parent.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.005)  # the temporary folder appears
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert child.returncode == code
    assert "Traceback" not in err
    assert list(target.parent.iterdir()) == []


def test_help_is_quick_and_loads_no_openvino() -> None:
    script = (
        "import sys; from converter.cli import run; code = run(['convert', '--help']); "
        "sys.exit(code or 'openvino' in sys.modules or 'cv2' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=False, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--labels" in done.stdout


def test_nothing_is_sent_anywhere(source: str, target: Path) -> None:
    """`import openvino` alone looks up a server on the internet, from a process it forks."""
    log = target.with_name("network.log")
    script = f"""
import sys
def watch(event, arguments):
    if event.startswith("socket.") or event in ("os.fork", "urllib.Request"):
        open({str(log)!r}, "a").write(event)
sys.addaudithook(watch)
import converter
import openvino
from converter.cli import run
sys.exit(run({["convert", source, "-o", str(target), "--labels", "coco91"]!r}))
"""
    environment = {key: value for key, value in os.environ.items() if key != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert not log.exists(), log.read_text()


def test_inspect_a_foreign_model(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", source, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["family"] == "od-api"
    assert "num_detections" in found["family_reason"]
    assert found["converted_by_labelvino"] is False
    assert found["inputs"] == [{"names": ["image_tensor:0"], "type": "u8", "shape": "[1,?,?,3]"}]
    assert run(["inspect", source]) == 0
    assert "not converted by labelvino" in capsys.readouterr().out


def test_inspect_our_own_model(
    source: str, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(source, target) == 0
    capsys.readouterr()
    assert run(["inspect", str(target), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["converted_by_labelvino"] is True
    assert found["facts"]["labelvino"]["labels"][79] == {"id": 90, "name": "toothbrush"}
    assert run(["inspect", str(target)]) == 0
    text = capsys.readouterr().out
    assert "90 toothbrush" in text
    assert "not converted" not in text


def test_inspect_what_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(tmp_path)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
