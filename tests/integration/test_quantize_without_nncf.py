"""`labelvino-model quantize` in an environment without NNCF, as this one is."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from backend.demo import MODEL_PATH
from converter.cli import run


def test_nncf_is_not_here() -> None:
    assert importlib.util.find_spec("nncf") is None


def test_what_to_install(
    tmp_path: Path, photos_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = str(tmp_path / "m.xml")
    assert run(["quantize", str(MODEL_PATH), "-o", target, "--calibration", str(photos_dir)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("install labelvino[quantize].")
    assert list(tmp_path.iterdir()) == []


def test_the_scope_can_be_seen_without_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["quantize", str(MODEL_PATH), "--show-scope"]) == 0
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 26
    assert all(line.startswith("Convolution ") for line in said.out.splitlines())
    assert "two-stage: 26 layers become INT8" in said.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--calibration", "x"], "Missing option '-o'"),
        (["-o", "m.xml"], "Give one of '--calibration' and '--project'"),
        (["-o", "m.xml", "--calibration", "x", "--project", "1"], "Give one of"),
        (["-o", "m.xml", "--calibration", "x", "--label-studio-url", "u"], "goes with '--project'"),
    ],
)
def test_command_lines_that_are_not_understood(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["quantize", str(MODEL_PATH), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_model_of_ours(
    tmp_path: Path, shared_dir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = shared_dir / "models" / "mask_rcnn_2go_ir" / "mask_rcnn_2go_FP16.xml"
    assert run(["quantize", str(foreign), "--show-scope"]) == 1
    assert "labelvino-model convert" in capsys.readouterr().err
