"""What the demo keeps, and what it makes of an earlier one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.demo.folder import DemoFolder
from backend.runtime.errors import DemoError, SettingsError


def _demo(path: Path, *, ready: bool) -> str:
    """One demo; gives its password."""
    folder = DemoFolder(path)
    with folder.opened() as found:
        assert found == ""
        (folder.studio_data / "database").write_text("rows")
        folder.state.studio_is_ready = ready
        return folder.state.password


def test_a_new_folder_is_made(tmp_path: Path) -> None:
    folder = DemoFolder(tmp_path / "new" / "demo")
    with folder.opened() as found:
        assert found == ""
        assert folder.studio_data.is_dir()
        assert not folder.state.studio_is_ready
        assert len(folder.state.token) == 40
    assert (folder.path / "demo.json").stat().st_mode & 0o077 == 0


def test_the_next_demo_has_the_same_data_and_account(tmp_path: Path) -> None:
    password = _demo(tmp_path / "demo", ready=True)
    folder = DemoFolder(tmp_path / "demo")
    with folder.opened() as found:
        assert found == ""
        assert folder.state.password == password
        assert (folder.studio_data / "database").exists()


@pytest.mark.parametrize("state", ["", "{}", '{"password": 1, "other": 2}', "[1]", "\x00"])
def test_what_was_broken_off_is_started_anew(tmp_path: Path, state: str) -> None:
    password = _demo(tmp_path / "demo", ready=True)
    (tmp_path / "demo" / "demo.json").write_text(state)
    folder = DemoFolder(tmp_path / "demo")
    with folder.opened() as found:
        assert found == "an earlier demo was broken off while it was set up: starting anew"
        assert folder.state.password != password
        assert not (folder.studio_data / "database").exists()


def test_a_database_that_was_never_up_is_started_anew(tmp_path: Path) -> None:
    _demo(tmp_path / "demo", ready=False)
    folder = DemoFolder(tmp_path / "demo")
    with folder.opened() as found:
        assert "starting anew" in found
        assert not (folder.studio_data / "database").exists()


def test_reset_starts_anew(tmp_path: Path) -> None:
    _demo(tmp_path / "demo", ready=True)
    folder = DemoFolder(tmp_path / "demo")
    with folder.opened(reset=True) as found:
        assert found == ""
        assert not (folder.studio_data / "database").exists()


def test_one_demo_at_a_time(tmp_path: Path) -> None:
    first, second = DemoFolder(tmp_path / "demo"), DemoFolder(tmp_path / "demo")
    with first.opened():
        first.state.address = "http://127.0.0.1:8080"
        first.state.studio_is_ready = True
        first.save()
        already = re.escape("running already, at http://127.0.0.1:8080: end it")
        with pytest.raises(DemoError, match=already), second.opened(reset=True):
            pass
        assert first.studio_data.exists()
    with second.opened():
        assert second.state.address == ""


def test_somebody_elses_folder_is_not_touched(tmp_path: Path) -> None:
    kept = tmp_path / "label-studio" / "thesis.txt"
    kept.parent.mkdir()
    kept.write_text("words")
    refused = "is not a folder of the demo: give a new one"
    for path in (tmp_path, kept):
        with (
            pytest.raises(SettingsError, match=refused),
            DemoFolder(path).opened(reset=True),
        ):
            pass
    assert kept.read_text() == "words"
    assert not (tmp_path / "lock").exists()
