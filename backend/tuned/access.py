"""Settings -> where tuned thresholds are kept."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from backend.settings import Settings
from backend.tuned.files import TunedFiles
from backend.tuned.reader import TunedReader
from backend.tuned.record import Thresholds
from backend.tuned.store import StateError, TunedStore

log = logging.getLogger("labelvino")


def open_tuned_store(settings: Settings) -> TunedStore:
    """Redis where it is configured, since then several backends must agree; else a folder.

    Neither need be there yet. Raises SettingsError for a Redis address that cannot be one, and
    StateError where there is no place for a folder.
    """
    if settings.redis_url is None:
        return TunedFiles(state_folder(settings) / "tuned")
    # Not before it is wanted: the import takes 0.1 s.
    from backend.redis_store import connect_redis, shown_redis
    from backend.tuned.redis_hashes import TunedHashes

    url = settings.redis_url.get_secret_value()
    return TunedHashes(connect_redis(url, ca_bundle=settings.ca_bundle), shown_redis(url))


def open_tuned_reader(settings: Settings) -> TunedReader:
    """For a server: where there is no place for the state, the log says so, and none is tuned.

    Raises SettingsError for a Redis address that cannot be one.
    """
    try:
        return TunedReader(open_tuned_store(settings))
    except StateError as error:
        log.info("%s", error)  # it matters to whoever tunes, and is an error then
        return TunedReader()


def thresholds_of(
    settings: Settings, project: str, model_digest: str, labels: tuple[str, ...]
) -> Thresholds:
    """Those of one project, for a command; what is wrong with them is logged."""
    reader = open_tuned_reader(settings)
    try:
        return reader.of(project, model_digest, labels)
    finally:
        reader.close()


def state_folder(settings: Settings) -> Path:
    """Raises StateError where the settings name none, and the user has no home."""
    if settings.state_dir is not None:
        return settings.state_dir
    home = settings.state_home
    if home is not None and home.is_absolute():
        return home / "labelvino"
    try:
        user = Path.home()
    except RuntimeError:
        raise StateError(
            "there is no place for tuned thresholds, since this user has no home: set "
            "LABELVINO_STATE_DIR to a folder."
        ) from None
    if sys.platform == "darwin":
        return user / "Library" / "Application Support" / "labelvino"
    if sys.platform == "win32":
        return user / "AppData" / "Local" / "labelvino" / "State"
    return user / ".local" / "state" / "labelvino"
