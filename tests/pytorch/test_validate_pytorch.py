"""`labelvino-model validate` with sources that PyTorch runs itself."""

from __future__ import annotations

import json
from pathlib import Path

import broken_ir
import pytest
import torch
from broken_ir import save_broken
from test_torchvision import CLASSES, LABELS, seeded

from backend.runtime.image import DecodedImage
from backend.runtime.overlay import encode_png
from converter.cli import run

NAME = "maskrcnn_resnet50_fpn"


@pytest.mark.timeout(900)
def test_a_torchvision_model_and_a_broken_one(
    photos: list[DecodedImage], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """PyTorch runs the module untraced; x and y swapped in the IR ends with 3."""
    torch.save(seeded(NAME, photos).state_dict(), tmp_path / "state.pth")
    (tmp_path / "labels.txt").write_text(LABELS)
    images = tmp_path / "images"
    images.mkdir()
    for index, photo in enumerate(photos):
        (images / f"{index}.png").write_bytes(encode_png(photo.pixels))
    source = [f"torchvision:{NAME}", "--weights", str(tmp_path / "state.pth")]
    model = tmp_path / "m.xml"
    options = ["--resize", "none", "--no-compress-to-fp16", "--labels", tmp_path / "labels.txt"]
    assert run(["convert", *source, "-o", str(model), *map(str, options)]) == 0
    broken = save_broken(model, tmp_path / "broken.xml", broken_ir.swap_x_and_y)
    capsys.readouterr()
    arguments = ["--images", str(images), "--min-score", "0.3", "--json"]
    code = run(["validate", source[0], str(model), *source[1:], *arguments])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report["checks"]
    assert report["source"]["runs_in"] == f"PyTorch {torch.__version__}"
    assert report["source"]["own_framework"]
    assert report["f32"]["matches"] >= CLASSES
    assert report["tensors"] == []
    assert run(["validate", source[0], str(broken), *source[1:], *arguments]) == 3
    assert not json.loads(capsys.readouterr().out)["passed"]
