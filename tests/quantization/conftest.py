"""Scenes of the demo that calibrate, and others that check."""

from __future__ import annotations

from pathlib import Path

import pytest
from scene_set import write_scenes


@pytest.fixture(scope="session")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 12 pictures."""
    folder = tmp_path_factory.mktemp("quantize") / "calibration"
    write_scenes(folder, 0, 12)
    return folder


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The COCO file of 24 other pictures beside it."""
    return write_scenes(tmp_path_factory.mktemp("quantize") / "check", 100, 24)
