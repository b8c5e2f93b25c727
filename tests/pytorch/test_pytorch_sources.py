"""module:factory, TorchScript and .pt2 through the real command, on small modules with known rows.

The module stands for what a detector's TracingAdapter gives: it needs no Detectron2.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run

SIZES_HW = ((64, 96), (50, 70), (33, 129))

FOUND = '''
import torch


class Found(torch.nn.Module):
    """One box a bright enough first pixel: the whole image; class 2; the first pixel as score."""

    def __init__(self, size=True, masks="box"):
        super().__init__()
        self.size, self.masks = size, masks
        self.gain = torch.nn.Parameter(torch.ones(1))

    def forward(self, image):
        image = image.reshape(3, image.shape[-2], image.shape[-1]) * self.gain
        height, width = image.shape[-2], image.shape[-1]
        score = image[:, :1, :1].reshape(1, 3)[:, 0]
        sides = image.new_zeros(1, 4)
        sides = sides + torch.stack([image[0].new_zeros(()), image[0].new_zeros(()),
            torch.ones_like(image[0, 0]).sum(), torch.ones_like(image[0, :, 0]).sum()])
        kept = torch.nonzero(score > 0.1)[:, 0]
        classes = torch.full((1,), 2, dtype=torch.int64)[kept]
        boxes, scores = sides[kept], score[kept]
        answer = [boxes, classes]
        if self.masks == "box":
            answer.append(torch.sigmoid(image[0, :7, :7] * 0 + 1)[None, None][kept])
        if self.masks == "image":
            answer.append(torch.sigmoid(image[:1] * 0 + 1)[None][kept])
        answer.append(scores)
        if self.size:
            answer.append(torch.stack([torch.as_tensor(height), torch.as_tensor(width)]))
        return tuple(answer)


def build():
    return Found()


def unnamed():
    return Found(size=False)


def in_image():
    return Found(masks="image")


def wrong():
    return {"no": "module"}


def failing():
    raise ValueError("no GPU")


def classifier():
    return torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())


number = 3
'''


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with the module toy_detector and a label list."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("toy_detector.py").write_text(FOUND)
    Path("labels.txt").write_text("ant\nbee\ncat\n")
    yield tmp_path
    sys.modules.pop("toy_detector", None)


def toy(here: Path, **options: object) -> torch.nn.Module:
    sys.path.insert(0, str(here))
    import toy_detector

    return toy_detector.Found(**options).eval()


def convert(source: str, *options: str) -> Engine:
    command = ["convert", source, "-o", "m.xml", "--labels", "labels.txt", "--resize", "none"]
    assert run([*command, *options]) == 0
    return Engine(Path("m.xml"), device="CPU", precision="f32")


def check(engine: Engine, frame: str = "box", red_first: bool = False) -> None:
    """Of a picture that is dark, then bright, in the channel that the model looks at."""
    assert engine.contract.mask_frame == frame
    for height, width in SIZES_HW:
        pixels = np.zeros((height, width, 3), np.uint8)
        raw, _ = engine.infer(DecodedImage(pixels, 1, ""))
        assert raw.boxes.shape == (0, 5)
        assert raw.masks is not None
        assert len(raw.masks) == 0
        pixels[..., 0 if red_first else 2] = 204
        raw, _ = engine.infer(DecodedImage(pixels, 1, ""))
        assert raw.boxes.tolist() == [pytest.approx([0, 0, width, height, 0.8])]
        assert raw.labels.tolist() == [2]
        assert raw.masks is not None
        assert raw.masks.shape[1:] == ((7, 7) if frame == "box" else (height, width))
        assert np.allclose(raw.masks, 0.7311, atol=1e-3)


# Detectron2's numbers are 0..255 in BGR; the toy wants its score within 0..1.
SCALED = ("--scale-values", "255")


def test_a_factory(here: Path) -> None:
    engine = convert("toy_detector:build", *SCALED)
    check(engine)
    assert (engine.contract.family, engine.contract.source_format) == ("detectron2", "pytorch")


def test_masks_that_cover_the_image(here: Path) -> None:
    check(convert("toy_detector:in_image", *SCALED), "image")


def test_an_example_of_ones_own(here: Path) -> None:
    np.save("example.npy", np.full((3, 40, 60), 0.5, np.float32))
    check(convert("toy_detector:build", *SCALED, "--example-input", "example.npy"))


def test_a_factory_with_weights(here: Path) -> None:
    torch.save({"gain": torch.tensor([1.0])}, "gain.pth")
    check(convert("toy_detector:build", *SCALED, "--weights", "gain.pth"))


def test_without_the_size_the_family_must_be_said(
    here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["convert", "toy_detector:unnamed", "-o", "m.xml", "--labels", "labels.txt"]
    assert run([*command, "--resize", "none"]) == 1
    assert "classes count from 0 (--family detectron2) or from 1" in capsys.readouterr().err
    check(convert("toy_detector:unnamed", *SCALED, "--family", "detectron2"))


def test_torchvision_counts_from_one(here: Path) -> None:
    """Class 2 is the second label there, and its input is RGB 0..1."""
    Path("labels.txt").write_text("ant\nbee\n")
    engine = convert("toy_detector:unnamed", "--family", "torchvision")
    raw, _ = engine.infer(DecodedImage(np.full((40, 60, 3), 204, np.uint8), 1, ""))
    assert [engine.contract.label_names[label] for label in raw.labels] == ["bee"]
    assert raw.boxes[0].tolist() == pytest.approx([0, 0, 60, 40, 0.8])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch.jit
def traced(here: Path, name: str) -> Path:
    module = toy(here)
    script = torch.jit.trace(module, (torch.full((1, 3, 40, 60), 0.5),), check_trace=False)
    script.save(name)
    return Path(name)


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, and tracing warns
def test_torchscript(here: Path) -> None:
    traced(here, "script.pt")
    engine = convert("script.pt", "--trust", *SCALED)
    check(engine)
    assert engine.contract.source_format == "torchscript"


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, and tracing warns
def test_torchscript_is_a_program(here: Path, refused: Callable[..., str]) -> None:
    line = refused(traced(here, "script.pt"))
    assert "is a TorchScript file, a program that may do anything" in line
    assert "pass --trust" in line


class Plain(torch.nn.Module):
    """As many rows as the image has lines, so that torch.export knows the shapes."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        scores = image[0, 0, :, 0]
        boxes = scores[:, None] * torch.tensor([0.0, 0.0, 10.0, 20.0])
        size = torch.zeros(2, dtype=torch.int64) + (scores.sum() * 0).to(torch.int64)
        return boxes, (scores * 0).to(torch.int64), scores, size


@pytest.fixture
def exported(here: Path) -> Path:
    program = torch.export.export(Plain(), (torch.rand(1, 3, 32, 64),))
    torch.export.save(program, "program.pt2")
    return Path("program.pt2")


@pytest.mark.filterwarnings("ignore")  # of torch's own, as it loads
def test_an_exported_program(exported: Path) -> None:
    engine = convert("program.pt2", "--trust", "--resize", "stretch:64x32", *SCALED)
    assert engine.contract.source_format == "torch-export"
    raw, _ = engine.infer(DecodedImage(np.full((32, 64, 3), 51, np.uint8), 1, ""))
    assert raw.boxes.shape == (32, 5)
    assert raw.boxes[0].tolist() == pytest.approx([0, 0, 2, 4, 0.2])


def test_an_exported_program_is_a_program(exported: Path, refused: Callable[..., str]) -> None:
    assert "is a torch.export program, a program that may do anything" in refused(exported)


def test_a_pickled_module(here: Path, refused: Callable[..., str]) -> None:
    torch.save(toy(here), "whole.pt")
    line = refused("whole.pt")
    assert "holds more than weights and would run code when it is loaded" in line
    check(convert("whole.pt", "--trust", *SCALED))


def test_weights_alone(here: Path, refused: Callable[..., str]) -> None:
    torch.save(toy(here).state_dict(), "state.pth")
    assert "has weights alone, without their architecture" in refused("state.pth")


@pytest.mark.parametrize("suffix", ["pt", "pt2", "torchscript", "pkl"])
@pytest.mark.parametrize("trust", [(), ("--trust",)])
def test_a_file_that_is_none(
    suffix: str, trust: tuple[str, ...], here: Path, refused: Callable[..., str]
) -> None:
    Path(f"hello.{suffix}").write_text("hello, this is no model\n" * 10)
    line = refused(f"hello.{suffix}", *trust)
    assert f"hello.{suffix} " in line


@pytest.mark.filterwarnings("ignore")  # torch.jit is deprecated, and tracing warns
def test_a_torchscript_that_is_cut_off(here: Path, refused: Callable[..., str]) -> None:
    whole = traced(here, "script.pt").read_bytes()
    Path("cut.pt").write_bytes(whole[: len(whole) // 2])
    line = refused("cut.pt", "--trust")
    assert "was cut off" in line or "cannot be loaded" in line


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("no_such_module:build", "no Python module no_such_module"),
        ("toy_detector:absent", "the module toy_detector has no absent"),
        ("toy_detector:number", "toy_detector:number is a int, not a function"),
        ("toy_detector:wrong", "gives a dict, not a torch.nn.Module"),
        ("toy_detector:failing", "toy_detector:failing() fails: ValueError: no GPU"),
        ("toy_detector:classifier", "the model is no detector or instance segmentation"),
    ],
)
def test_factories_that_give_no_detector(
    source: str, says: str, here: Path, refused: Callable[..., str]
) -> None:
    assert says in refused(source, "--labels", "labels.txt", "--resize", "none")


def test_a_module_that_cannot_be_imported(here: Path, refused: Callable[..., str]) -> None:
    Path("broken_module.py").write_text("import nothing_like_this")
    assert "no Python module nothing_like_this" in refused("broken_module:build")


def test_an_example_that_is_no_picture(here: Path, refused: Callable[..., str]) -> None:
    np.save("flat.npy", np.zeros(5, np.float32))
    line = refused("toy_detector:build", "--example-input", "flat.npy")
    assert "must be an image [3,H,W] or [1,3,H,W]" in line


def test_an_example_that_is_not_there(here: Path, refused: Callable[..., str]) -> None:
    line = refused("toy_detector:build", "--example-input", "gone.jpg")
    assert "there is no example input gone.jpg" in line
