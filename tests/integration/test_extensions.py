"""Operations without a conversion: a Python file or a library gives one."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from toy_onnx import onnx_detector
from toy_sources import scaling_graph

from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run
from converter.sources import LoadOptions, load_source

DOCS = Path(__file__).resolve().parents[2] / "docs" / "extending.md"
GREY = DecodedImage(np.full((100, 200, 3), 128, np.uint8), 1, "")


@pytest.fixture
def onnx(tmp_path: Path) -> Path:
    """A detector of Model API's form whose boxes come through toy.ClipBoxes(limit=50)."""
    return onnx_detector(tmp_path / "model.onnx", clipped=True)


@pytest.fixture
def tensorflow(tmp_path: Path) -> Path:
    """A frozen graph with the operation ToyScale(factor=3)."""
    return scaling_graph(tmp_path / "graph.pb")


def documented(tmp_path: Path) -> Path:
    """The Python file of the documentation, as it stands there."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    path = tmp_path / "clip_boxes.py"
    path.write_text(code)
    return path


def convert(source: Path, target: Path, *options: str) -> int:
    labels = target.with_name("labels.txt")
    labels.write_text("hand\nface\n")
    command = ["convert", str(source), "-o", str(target), "--labels", str(labels)]
    return run([*command, "--resize", "none", *options])


def test_without_an_extension_the_operation_is_named(
    onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert convert(onnx, tmp_path / "m.xml") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"no conversion for the operation \S*ClipBoxes: give one with --exten", line)
    # and the documentation shows this line
    assert line.partition("model.onnx: ")[2] in DOCS.read_text()


def test_the_documented_extension(onnx: Path, tmp_path: Path) -> None:
    target = tmp_path / "m.xml"
    assert convert(onnx, target, "--extension", str(documented(tmp_path))) == 0
    raw, _ = Engine(target, device="CPU", precision="f32").infer(GREY)
    assert raw.boxes[:, :4].tolist() == [[0, 10, 20, 50], [1, 2, 3, 4]]


def test_inspect_takes_extensions_too(
    onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["inspect", str(onnx)]) == 1
    capsys.readouterr()
    assert run(["inspect", str(onnx), "--extension", str(documented(tmp_path))]) == 0
    assert "model-api" in capsys.readouterr().out


TENSORFLOW_EXTENSION = """
import numpy as np
import openvino.opset13 as ops
from openvino.frontend.tensorflow import ConversionExtension

def scale(node):
    factor = np.float32(node.get_attribute("factor"))
    return [ops.multiply(node.get_input(0), factor).output(0)]

EXTENSIONS = [ConversionExtension("ToyScale", scale)]
"""


def scaled(source: Path, extension: Path) -> list[float]:
    model = load_source(source, LoadOptions(extensions=(extension,))).model
    found = ov.Core().compile_model(model, "CPU")(np.array([1, 2], np.float32))
    return list(found[0].tolist())


def test_an_extension_for_tensorflow(tensorflow: Path, tmp_path: Path) -> None:
    extension = tmp_path / "scale.py"
    extension.write_text(TENSORFLOW_EXTENSION)
    assert scaled(tensorflow, extension) == [3.0, 6.0]


LIBRARY = """
#include <openvino/core/extension.hpp>
#include <openvino/frontend/extension/conversion.hpp>
#include <openvino/frontend/node_context.hpp>
#include <openvino/op/constant.hpp>
#include <openvino/op/multiply.hpp>
static ov::OutputVector scale(const ov::frontend::NodeContext& node) {
    auto factor = ov::op::v0::Constant::create(
        ov::element::f32, {}, {node.get_attribute<float>("factor")});
    return {std::make_shared<ov::op::v1::Multiply>(node.get_input(0), factor)};
}
OPENVINO_CREATE_EXTENSIONS(std::vector<ov::Extension::Ptr>(
    {std::make_shared<ov::frontend::ConversionExtension>("ToyScale", scale)}));
"""


@pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++ to compile a library")
def test_a_compiled_library(tensorflow: Path, tmp_path: Path) -> None:
    home = Path(ov.__file__).parent
    (tmp_path / "scale.cpp").write_text(LIBRARY)
    (openvino_library,) = (home / "libs").glob("libopenvino.so.*")
    library = tmp_path / "libscale.so"
    command = ["g++", "-std=c++17", "-shared", "-fPIC", "-O0", str(tmp_path / "scale.cpp")]
    paths = [f"-I{home / 'include'}", str(openvino_library), "-o", str(library)]
    subprocess.run([*command, *paths], check=True, timeout=240)
    assert scaled(tensorflow, library) == [3.0, 6.0]


BAD: dict[str, tuple[str, str | bytes | None, str]] = {
    "missing": ("a.py", None, "there is no extension"),
    "wrong kind": ("a.txt", "", "must be a Python file"),
    "no list": ("a.py", "x = 1", "must have a list EXTENSIONS"),
    "empty list": ("a.py", "EXTENSIONS = []", "must have a list EXTENSIONS"),
    "no extension in it": ("a.py", "EXTENSIONS = ['x']", "has str in EXTENSIONS"),
    "syntax": ("a.py", "def", "failed while it was loaded: SyntaxError"),
    "error": ("a.py", "raise ValueError('oh')", "failed while it was loaded: ValueError: oh"),
    "no library": ("a.so", b"x", "is no library of OpenVINO extensions .*too short"),
    "function fails": (
        "a.py",
        "from openvino.frontend.onnx import ConversionExtension\n"
        "def f(node): raise ValueError('oh')\n"
        "EXTENSIONS = [ConversionExtension('ClipBoxes', 'toy', f)]",
        r"conversion of the operation \S*ClipBoxes failed \(.*ValueError: oh\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_extension_is_one_line(
    case: str, onnx: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, reason = BAD[case]
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    out.mkdir()
    assert convert(onnx, out / "m.xml", "--extension", str(path)) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("labelvino-model: ")
    assert re.search(reason, line), line
    assert [p.name for p in out.iterdir()] == ["labels.txt"]


def test_no_code_is_run_unless_it_is_named(onnx: Path, tmp_path: Path) -> None:
    """Neither a file beside the model nor one where the user stands."""
    told = tmp_path / "told"
    for name in ("extension.py", "model.py", "conftest.py", "sitecustomize.py"):
        (tmp_path / name).write_text(f"open({str(told)!r}, 'w')")
    assert convert(onnx, tmp_path / "m.xml") == 1
    assert not told.exists()
