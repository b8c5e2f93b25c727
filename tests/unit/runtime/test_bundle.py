"""Packages: what their manifest says against what is there."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from backend.runtime.bundle import open_bundle
from backend.runtime.errors import BundleError

FILES = {"model.xml": b"<net/>", "model.bin": b"weights", "settings.toml": b""}


def write(folder: Path, files: dict[str, bytes], **manifest: Any) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    entries = {name: {"sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    content = {"version": 1, "files": entries} | manifest
    (folder / "manifest.json").write_text(json.dumps(content))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle", FILES | {"a/b.txt": b"more"})


def test_an_empty_folder_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"has no manifest\.json"):
        open_bundle(tmp_path)


def test_what_is_whole_opens(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.model == folder / "model.xml"
    assert bundle.settings == {}
    assert bundle.digest == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()


def test_settings_of_a_model(tmp_path: Path) -> None:
    text = b'device = "CPU"\nscore_threshold = 0.4\n'
    bundle = open_bundle(write(tmp_path / "b", FILES | {"settings.toml": text}))
    assert bundle.settings == {"device": "CPU", "score_threshold": 0.4}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'host = "0.0.0.0"', "carries no setting 'host'"),
        (b'label_studio_api_key = "x"', "carries no setting 'label_studio_api_key'"),
        (b"device", "are not TOML"),
        (b"\xff", "are not TOML"),
    ],
)
def test_other_settings_are_refused(tmp_path: Path, text: bytes, said: str) -> None:
    with pytest.raises(BundleError, match=said):
        open_bundle(write(tmp_path / "b", FILES | {"settings.toml": text}))


def test_changed_missing_and_extra_files_are_named(folder: Path) -> None:
    (folder / "model.bin").write_bytes(b"weighty")
    (folder / "a" / "b.txt").unlink()
    (folder / ".hidden").touch()
    with pytest.raises(
        BundleError, match=r"\(missing: a/b\.txt; extra: \.hidden; changed: model\.bin\)"
    ):
        open_bundle(folder)


@pytest.mark.parametrize(
    "name",
    ["../out", "/etc/passwd", "a/../../out", "a//b", "./a", "C:/x", "a\\b", "", "manifest.json"],
)
def test_no_name_leads_out(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = {"sha256": "0"}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="is no file within the package"):
        open_bundle(folder)


def test_links_are_refused(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_bytes(b"more")
    (folder / "a" / "b.txt").unlink()
    (folder / "a" / "b.txt").symlink_to(outside)
    with pytest.raises(BundleError, match="is a link"):
        open_bundle(folder)


def test_linked_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / "link").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(BundleError, match="is a link"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is damaged"),
        ("[]", "is damaged"),
        ('{"version": 1, "files": []}', "is damaged"),
        ('{"version": 2, "files": {}}', "has version 2"),
        ('{"version": 1, "files": {}}', r"does not name model\.bin, model\.xml, settings\.toml"),
    ],
)
def test_a_manifest_that_is_none(folder: Path, text: str, said: str) -> None:
    (folder / "manifest.json").write_text(text)
    with pytest.raises(BundleError, match=said):
        open_bundle(folder)
