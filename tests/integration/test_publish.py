"""A new IR takes its name all at once, or not at all, whatever happens on the way."""

from __future__ import annotations

import fcntl
import signal
import subprocess
import sys
import time
from pathlib import Path

import openvino as ov
import pytest
from toy_sources import od_api_model

from backend.runtime.engine import Engine
from converter.cli import run
from converter.workplace import OLD_GRAPH, OLD_WEIGHTS

COMMAND = Path(sys.executable).with_name("labelvino-model")
NAMES = ["m.bin", "m.xml"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source.xml"
    model = od_api_model([((0.0, 0.5, 1.0, 1.0), 0.9, 90.0)])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "m.xml"


def convert(source: Path, target: Path, *options: str) -> int:
    return run(["convert", str(source), "-o", str(target), "--labels", "coco91", *options])


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


@pytest.mark.parametrize("failing", range(4))
def test_the_old_pair_stays_where_a_rename_fails(
    failing: int,
    source: Path,
    target: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    target.write_text("old")
    target.with_suffix(".bin").write_text("old weights")
    replace, calls = Path.replace, []

    def replace_or_fail(self: Path, other: Path) -> Path:
        calls.append(self)
        if len(calls) == failing + 1:
            raise OSError(5, "Input/output error")
        return replace(self, other)

    monkeypatch.setattr(Path, "replace", replace_or_fail)
    assert convert(source, target, "--force") == 1
    assert "cannot be written to: Input/output error" in capsys.readouterr().err
    assert len(calls) > failing
    assert names(target) == NAMES
    assert target.read_text() == "old"
    assert target.with_suffix(".bin").read_text() == "old weights"


def test_between_the_renames_there_is_no_ir(
    source: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never the old graph with the new weights, or the other way round."""
    target.write_text("old")
    target.with_suffix(".bin").write_text("old weights")
    replace, seen = Path.replace, []

    def replace_and_look(self: Path, other: Path) -> Path:
        done = replace(self, other)
        seen.append((target.exists(), target.with_suffix(".bin").exists()))
        return done

    monkeypatch.setattr(Path, "replace", replace_and_look)
    assert convert(source, target, "--force") == 0
    assert seen == [(False, True), (False, False), (False, True), (True, True)]


def test_what_a_killed_conversion_leaves_is_harmless(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [COMMAND, "convert", source, "-o", target, "--labels", "coco91"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as child:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not list(target.parent.glob(".m-*/*.xml")):
            time.sleep(0.005)
        child.send_signal(signal.SIGKILL)
    (left,) = names(target)
    assert left.startswith(".m-")
    assert convert(source, target) == 0
    assert f"removed {target.parent / left}, which a killed" in capsys.readouterr().err
    assert names(target) == NAMES


def killed_in_between(target: Path) -> Path:
    """The state after the old pair was moved aside."""
    folder = target.parent / ".m-abcd"
    folder.mkdir()
    (folder / "labelvino.lock").touch()
    (folder / OLD_GRAPH).write_text("old")
    (folder / OLD_WEIGHTS).write_text("old weights")
    return folder


def test_what_was_being_replaced_comes_back(
    source: Path, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed_in_between(target)
    assert convert(source, target) == 1
    assert "m.xml exists" in capsys.readouterr().err
    assert names(target) == NAMES
    assert target.read_text() == "old"
    assert target.with_suffix(".bin").read_text() == "old weights"
    killed_in_between(target)
    assert convert(source, target, "--force") == 0
    assert len(Engine(target, device="CPU").contract.labels) == 80
    assert names(target) == NAMES


def test_the_folder_of_a_running_conversion_is_left_alone(source: Path, target: Path) -> None:
    folder = killed_in_between(target)
    with (folder / "labelvino.lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert convert(source, target) == 0
    assert names(target) == [folder.name, *NAMES]
    assert (folder / OLD_GRAPH).read_text() == "old"


def test_folders_of_others_are_left_alone(source: Path, target: Path) -> None:
    (target.parent / ".m-notes").mkdir()
    (target.parent / ".m-notes" / "mine.txt").write_text("mine")
    assert convert(source, target) == 0
    assert names(target) == [".m-notes", *NAMES]


def test_two_conversions_to_one_target_do_not_mix(source: Path, target: Path) -> None:
    command = [COMMAND, "convert", source, "-o", target, "--labels", "coco91", "--force"]
    children = [subprocess.Popen(command, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [child.wait(timeout=120) for child in children] == [0, 0]
    assert names(target) == NAMES
    assert len(Engine(target, device="CPU").contract.labels) == 80
