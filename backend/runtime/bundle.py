"""A deployment package: a folder with a model, its settings, and a manifest of all its files.

The manifest finds what was damaged, forgotten or added on the way. It is no signature: whoever can
change the files can change it too, unless its own digest is compared (`Bundle.digest`).
"""

from __future__ import annotations

import hashlib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from backend.runtime.errors import BundleError

MANIFEST = "manifest.json"
MODEL = "model.xml"
SETTINGS = "settings.toml"
VERSION = 1
# What belongs to a model. Addresses, tokens and folders belong to the place where it is served.
SETTINGS_OF_A_MODEL = frozenset(
    {"device", "precision", "score_threshold", "score_strategy", "controls", "max_detections"}
    | {"polygon_detail", "polygon_max_points", "polygon_min_area_px", "max_brush_regions"}
)


@dataclass(frozen=True)
class Bundle:
    """A package whose files are those of its manifest.

    `settings`: by name, not yet checked for their values; `digest`: SHA-256 (hex) of the manifest.
    """

    folder: Path
    settings: Mapping[str, Any]
    digest: str

    @property
    def model(self) -> Path:
        """The IR."""
        return self.folder / MODEL


def open_bundle(folder: Path) -> Bundle:
    """Verify every file, then read the settings.

    Raises BundleError, which names the files, for what was changed, is missing or is extra, for
    links, and for names that lead out of the folder.
    """
    manifest = folder / MANIFEST
    try:
        text = manifest.read_bytes()
    except OSError as error:
        raise BundleError(
            f"{folder} is no package of labelvino-model's: it has no {MANIFEST} that can be read."
        ) from error
    wanted = _read_manifest(text, manifest)
    there = _files(folder)
    problems = []
    if missing := sorted(set(wanted) - there):
        problems.append(f"missing: {_listed(missing)}")
    if extra := sorted(there - set(wanted) - {MANIFEST}):
        problems.append(f"extra: {_listed(extra)}")
    changed = [
        name for name in sorted(set(wanted) & there) if file_digest(folder / name) != wanted[name]
    ]
    if changed:
        problems.append(f"changed: {_listed(changed)}")
    if problems:
        raise BundleError(
            f"the package {folder} is not what its manifest says ({'; '.join(problems)}): copy it "
            "again, or make it again with labelvino-model package."
        )
    settings = parse_settings((folder / SETTINGS).read_bytes(), folder / SETTINGS)
    return Bundle(folder, settings, hashlib.sha256(text).hexdigest())


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises BundleError where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror}.") from error
    return digest.hexdigest()


def parse_settings(text: bytes, path: Path) -> dict[str, Any]:
    """Settings that a package may carry. Raises BundleError for others, and for what is no TOML."""
    try:
        values = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"the settings {path} are not TOML: {error}.") from error
    if others := sorted(set(values) - SETTINGS_OF_A_MODEL):
        raise BundleError(
            f"a package carries no setting '{others[0]}' ({path}): it may have "
            f"{', '.join(sorted(SETTINGS_OF_A_MODEL))}; the rest is set where it is served."
        )
    return values


def _read_manifest(text: bytes, path: Path) -> dict[str, str]:
    """Digests by name."""
    try:
        manifest = json.loads(text)
        version = manifest["version"]
        digests = {str(name): str(entry["sha256"]) for name, entry in manifest["files"].items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path} is damaged: make the package again.") from error
    if version != VERSION:
        raise BundleError(
            f"{path} has version {version!r}, but this labelvino reads version {VERSION}: use the "
            "matching labelvino."
        )
    for name in digests:
        if not _is_inside(name):
            raise BundleError(f"{path} names {name!r}, which is no file within the package.")
    if lacking := sorted({MODEL, "model.bin", SETTINGS} - set(digests)):
        raise BundleError(f"{path} does not name {_listed(lacking)}: make the package again.")
    return digests


def _is_inside(name: str) -> bool:
    path = PurePosixPath(name)
    plain = "\\" not in name and ":" not in name and "\0" not in name
    return (
        plain
        and name == str(path)
        and not path.is_absolute()
        and path.parts != ()
        and ".." not in path.parts
        and name != MANIFEST
    )


def _files(folder: Path) -> set[str]:
    """All files below the folder, hidden ones too. Raises BundleError for links and odd things."""
    found = set()
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place) / name
            if path.is_symlink() or not (path.is_dir() or path.is_file()):
                raise BundleError(
                    f"{path} is a link or no plain file, which a package does not have: copy the "
                    "package again."
                )
        found |= {(Path(place) / name).relative_to(folder).as_posix() for name in files}
    return found


def _listed(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
