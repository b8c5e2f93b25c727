"""Environments of pinned packages, made from a wheel on the disk."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from backend.demo import environment
from backend.demo.environment import EnvironmentMakingError, is_current, make_environment


@pytest.fixture
def requirements(tmp_path: Path) -> Path:
    """Pins of a package with nothing but its name."""
    wheel = tmp_path / "wheels" / "nothing-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as packed:
        info = "nothing-1.0.dist-info"
        packed.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        packed.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        packed.writestr(f"{info}/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    pins = tmp_path / "pins.txt"
    pins.write_text(
        f"--no-index\n--find-links {wheel.parent}\nnothing==1.0 --hash=sha256:{digest}\n"
    )
    return pins


def _nothing_is_installed(folder: Path) -> bool:
    asked = [
        folder / "bin" / "python",
        "-c",
        "import importlib.metadata as m; m.version('nothing')",
    ]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def test_it_is_made_kept_and_made_anew(tmp_path: Path, requirements: Path) -> None:
    folder = tmp_path / "envs" / "one"
    seen: list[tuple[int, int]] = []

    def advance(done: int, total: int) -> None:
        seen.append((done, total))

    assert not is_current(folder, requirements)
    make_environment(folder, requirements, advance)
    assert is_current(folder, requirements)
    assert _nothing_is_installed(folder)
    assert seen == [(1, 1), (1, 1)]
    mark = folder / "mark"
    mark.touch()
    make_environment(folder, requirements, advance)
    assert mark.exists()
    # Broken off: the stamp is missing.
    (folder / ".made").unlink()
    make_environment(folder, requirements, advance)
    assert not mark.exists()
    assert _nothing_is_installed(folder)
    # Other pins.
    requirements.write_text(requirements.read_text() + "# newer\n")
    assert not is_current(folder, requirements)


def test_what_pip_says_is_told_and_no_stamp_is_left(tmp_path: Path, requirements: Path) -> None:
    requirements.write_text(requirements.read_text().replace("nothing==1.0", "nothing==2.0"))
    with pytest.raises(EnvironmentMakingError, match="No matching distribution found for nothing"):
        make_environment(tmp_path / "env", requirements, lambda _done, _total: None)
    assert not is_current(tmp_path / "env", requirements)


def test_another_folder_is_not_removed(tmp_path: Path, requirements: Path) -> None:
    with pytest.raises(EnvironmentMakingError, match="is not an environment: choose another"):
        make_environment(tmp_path, requirements, lambda _done, _total: None)
    assert requirements.exists()


def test_it_runs_as_a_script_without_any_package(tmp_path: Path, requirements: Path) -> None:
    requirements.write_text(requirements.read_text().replace("nothing==1.0", "nothing==2.0"))
    script = [sys.executable, "-I", "-S", environment.__file__, tmp_path / "env", requirements]
    ended = subprocess.run(script, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "No matching distribution" in ended.stderr
