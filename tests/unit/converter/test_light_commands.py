"""labelvino and the help of labelvino-model load no training framework, and no OpenVINO either."""

from __future__ import annotations

import subprocess
import sys

import pytest

from converter.cli import cli

FRAMEWORKS = {
    *("tensorflow", "keras", "torch", "torchvision", "detectron2", "paddle", "nncf", "onnx"),
    *("jax", "tflite", "ultralytics", "mmdet"),
}
HEAVY = {*FRAMEWORKS, "openvino", "cv2", "numpy", "httpx2"}


def loaded(statements: str, watched: set[str]) -> set[str]:
    """Which of the modules are loaded after some Python, in a process of its own."""
    script = f"{statements}\nimport sys\nprint(*({watched!r} & set(sys.modules)), file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    return set(done.stderr.split())


def test_the_probe_sees_what_is_loaded() -> None:
    assert loaded("import numpy", HEAVY) == {"numpy"}


@pytest.mark.parametrize("arguments", [[], *([name] for name in sorted(cli.commands))])
def test_help_is_light(arguments: list[str]) -> None:
    given = [*arguments, "--help"]
    assert loaded(f"from converter.cli import run; assert run({given!r}) == 0", HEAVY) == set()


@pytest.mark.parametrize(
    "arguments", [["list"], ["fetch", "--show", "instance-segmentation-security-0002"]]
)
def test_list_and_fetch_need_no_framework(arguments: list[str]) -> None:
    statements = f"from converter.cli import run; assert run({arguments!r}) == 0"
    # what is shown goes to stderr too
    found = loaded(f"import os, sys\nsys.stderr = open(os.devnull, 'w')\n{statements}\n"
                   "sys.stderr = sys.__stderr__", FRAMEWORKS)  # fmt: skip
    assert found == set()


@pytest.mark.parametrize(
    "module", ["backend.cli", "backend.server", "backend.serving", "backend.runtime.engine"]
)
def test_the_serving_side_needs_no_framework(module: str) -> None:
    assert loaded(f"import {module}", FRAMEWORKS | {"converter"}) == set()
