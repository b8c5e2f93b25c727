"""The machine that labelvino runs on: room on its disks."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from backend.checkup.finding import Finding, attempt
from backend.model_cache import model_cache_folder
from backend.settings import Settings

# Room for a compiled model or two.
MIN_FREE_BYTES = 500_000_000


def disk_findings(settings: Settings) -> Iterator[Finding]:
    """Free space where labelvino and OpenVINO write."""
    yield attempt("disk", lambda: _room("temporary files", Path(tempfile.gettempdir()), "TMPDIR"))
    cache = model_cache_folder(settings)
    if cache is not None:
        yield attempt("disk", lambda: _room("compiled models", cache, "LABELVINO_MODEL_CACHE"))


def _room(what: str, folder: Path, variable: str) -> Finding:
    # OpenVINO makes the folder of its cache where it is missing.
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    free_bytes = shutil.disk_usage(there).free
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        text = f"{what}: {folder} cannot be written to: set {variable} to another folder."
        return Finding("disk", "problem", text)
    if free_bytes < MIN_FREE_BYTES:
        text = (
            f"{what}: only {free_bytes / 1e6:.0f} MB are free in {folder}: make room for "
            f"{MIN_FREE_BYTES / 1e6:.0f} MB, or set {variable} to another folder."
        )
        return Finding("disk", "problem", text)
    return Finding("disk", "ok", f"{what}: {free_bytes / 1e9:.1f} GB free in {folder}")
