"""PyTorch's sources where PyTorch is not installed, and SOURCE as people mistype it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from converter.cli import run

NEEDS = "this source needs PyTorch, which cannot be imported"


@pytest.mark.parametrize(
    "source",
    ["torchvision:maskrcnn_resnet50_fpn", "detectron2:COCO-Detection/x", "my_model:build", "m.pt"],
)
def test_pytorch_is_missing(
    source: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.chdir(tmp_path)
    Path("m.pt").write_bytes(b"PK")
    Path("out").mkdir()
    assert run(["convert", source, "--weights", "m.pt", "-o", "out/m.xml"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"labelvino-model: {NEEDS}")
    assert err.endswith("pip install labelvino[torch].\n")
    assert list(Path("out").iterdir()) == []


@pytest.mark.parametrize("option", [("--weights", "w.pth"), ("--trust",), ("--example-input", "x")])
def test_options_of_pytorch_for_other_sources(
    option: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.onnx").write_bytes(b"x")
    assert run(["convert", str(tmp_path / "m.onnx"), *option, "-o", str(tmp_path / "m.xml")]) == 1
    assert f"{option[0]} only goes with torchvision:NAME" in capsys.readouterr().err


def test_help_imports_no_framework() -> None:
    """Neither does loading the modules that do the work."""
    code = (
        "import sys; from converter.cli import cli\n"
        "import converter.convert, converter.sources.pytorch, converter.sources.detectron2\n"
        "try: cli.main(['convert', '--help'])\n"
        "except SystemExit: pass\n"
        "print({'torch', 'torchvision', 'detectron2', 'tensorflow', 'keras'} & set(sys.modules),"
        " file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "--weights" in done.stdout
    assert done.stderr == "set()\n"
