"""The folder of compiled models, and that results do not depend on it."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toy_model import save_toy_model

from backend import model_cache
from backend.model_cache import default_folder, model_cache_folder
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage, decode_image
from backend.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LABELVINO_MODEL_CACHE", raising=False)
    model_cache._is_usable.cache_clear()
    model_cache._say_none.cache_clear()


def settings(**given: object) -> Settings:
    return load_settings(**given)


def test_off() -> None:
    assert model_cache_folder(settings(model_cache="off")) is None


def test_a_named_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert model_cache_folder(settings(model_cache=str(tmp_path / "x"))) == tmp_path / "x"
    assert not (tmp_path / "x").exists()


def test_by_default_it_is_among_the_users_caches(tmp_path: Path) -> None:
    found = model_cache_folder(settings(cache_home=tmp_path / "caches"))
    assert found == tmp_path / "caches" / "labelvino"
    assert found.is_dir() and found.stat().st_mode & 0o777 == 0o700


def test_a_relative_cache_home_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr("sys.platform", "linux")
    assert default_folder(Path("caches")) == Path("/home/somebody/.cache/labelvino")


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".cache/labelvino"),
        ("darwin", "Library/Caches/labelvino"),
        ("win32", "AppData/Local/labelvino/Cache"),
    ],
)
def test_conventions(platform: str, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr("sys.platform", platform)
    assert default_folder(None) == Path("/home/somebody") / folder


def test_a_folder_that_cannot_be_made_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "labelvino"):
        for _ in range(2):
            assert model_cache_folder(settings(cache_home="/proc/none")) is None
    assert len(caplog.records) == 1
    assert "LABELVINO_MODEL_CACHE" in caplog.text


def test_a_folder_that_cannot_be_written_to_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)  # root may write anywhere
    with caplog.at_level(logging.WARNING, "labelvino"):
        for _ in range(2):
            assert model_cache_folder(settings(cache_home=tmp_path)) is None
    assert len(caplog.records) == 1 and "cannot be written to" in caplog.text


def test_no_home(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def no_home() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", no_home)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    with caplog.at_level(logging.WARNING, "labelvino"):
        assert model_cache_folder(settings()) is None
    assert "has no home" in caplog.text


def boxes(path: Path, cache: Path | None) -> list[list[float]]:
    engine = Engine(path, device="CPU", cache_dir=cache)
    return [list(map(float, box)) for box in engine.detect(grey()).boxes_xyxy_px]


def grey() -> DecodedImage:
    picture = BytesIO()
    Image.fromarray(np.full((40, 50, 3), 7, np.uint8)).save(picture, "PNG")
    return decode_image(picture.getvalue())


def test_other_weights_are_another_entry_and_a_damaged_entry_is_none(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for box in ((1.0, 2.0, 20.0, 30.0), (3.0, 4.0, 20.0, 30.0)):
        model = save_toy_model(tmp_path / "model.xml", [(box, 0.9, 0)])
        for _ in range(2):  # the second time out of the cache
            assert boxes(model, cache) == [list(box)] == boxes(model, None)
    entries = list(cache.rglob("*.blob"))
    assert len(entries) == 2
    for entry in entries:
        entry.write_bytes(entry.read_bytes()[: entry.stat().st_size // 2])
    assert boxes(model, cache) == [list(box)]


def test_an_entry_is_read_and_not_mapped(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    model = save_toy_model(tmp_path / "model.xml", [((1.0, 2.0, 20.0, 30.0), 0.9, 0)])
    Engine(model, device="CPU", cache_dir=cache)
    engine = Engine(model, device="CPU", cache_dir=cache)
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert ".blob" not in maps.read_text()
    for entry in cache.rglob("*.blob"):
        entry.write_bytes(b"")  # a mapped file would take the process with it
    assert len(engine.detect(grey()).scores) == 1
