"""Photos for tests of PyTorch's sources, and the command that converts."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from backend.runtime.image import DecodedImage, decode_image
from converter.cli import run

HAS_TORCH = importlib.util.find_spec("torch") is not None
collect_ignore_glob = [] if HAS_TORCH else ["test_*.py"]

# One that 32 divides, one that it divides in one direction, one that nothing divides
SIZES_WH = ((256, 192), (240, 160), (203, 149))
PHOTOS = ("000000005001.jpg", "000000160012.jpg", "000000261888.jpg")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was left out, where this environment has no PyTorch."""
    if not HAS_TORCH:
        terminalreporter.write_line("SKIPPED tests/pytorch: no torch here, run `make test-torch`")


@pytest.fixture(scope="session")
def photos(photos_dir: Path) -> list[DecodedImage]:
    """Three COCO photos, each of another size."""
    return [
        DecodedImage(cv2.resize(decode_image((photos_dir / name).read_bytes()).pixels, size), 1, "")
        for name, size in zip(PHOTOS, SIZES_WH, strict=True)
    ]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Convert by the command, which must fail: its one line; nothing is left behind."""

    def convert(*arguments: object) -> str:
        folder = tmp_path / "out"
        folder.mkdir()
        code = run(["convert", *map(str, arguments), "-o", str(folder / "m.xml")])
        out, err = capsys.readouterr()
        assert (code, out) == (1, "")
        assert list(folder.iterdir()) == []
        assert err.startswith("labelvino-model: ")
        assert err.count("\n") == 1, err
        return err

    return convert
