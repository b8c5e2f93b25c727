"""Where OpenVINO keeps compiled models, so that the next start is faster."""

from __future__ import annotations

import logging
import os
import sys
from functools import cache
from pathlib import Path

from backend.settings import Settings

log = logging.getLogger("labelvino")


def model_cache_folder(settings: Settings) -> Path | None:
    """The folder to give to the engine; None for none.

    A folder that the settings name is given as it is: where it cannot be used, the engine says so.
    The platform's own is made here; where that cannot be, the log says so once, and it goes on
    without.
    """
    if settings.model_cache == "off":
        return None
    if settings.model_cache is not None:
        return settings.model_cache
    folder = default_folder(settings.cache_home)
    return folder if folder is not None and _is_usable(folder) else None


def default_folder(cache_home: Path | None) -> Path | None:
    """labelvino's folder among the user's caches (XDG Base Directory Specification on Linux).

    None where the user has no home.
    """
    if cache_home is not None and cache_home.is_absolute():
        return cache_home / "labelvino"
    try:
        home = Path.home()
    except RuntimeError:
        _say_none("this user has no home")
        return None
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "labelvino"
    if sys.platform == "win32":
        return home / "AppData" / "Local" / "labelvino" / "Cache"
    return home / ".cache" / "labelvino"


@cache
def _is_usable(folder: Path) -> bool:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        _say_none(f"{folder} cannot be made: {error.strerror}")
        return False
    if not os.access(folder, os.W_OK | os.X_OK):
        _say_none(f"{folder} cannot be written to")
        return False
    return True


@cache
def _say_none(reason: str) -> None:
    log.warning(
        "compiled models are not kept, so each start compiles anew (%s): set "
        "LABELVINO_MODEL_CACHE to a folder, or to off.",
        reason,
    )
