"""Tuned thresholds in a folder: a small file for each project and model."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from backend.tuned.record import checked_place
from backend.tuned.store import Anything, AwayError, StateError, short

_REMEMBERED = 1024
_LARGEST_BYTES = 1 << 20
_Stamp = tuple[int, int, int]


class TunedFiles:
    """Written beside and moved into place, so that a reader never sees half of one."""

    def __init__(self, folder: Path) -> None:
        """The folder is made by the first `put`."""
        self.folder = folder
        self._seen: dict[Path, tuple[_Stamp, bytes]] = {}
        self._lock = Lock()

    @property
    def where(self) -> str:
        return str(self.folder)

    def of_project(self, project: str, model_digest: str) -> bytes | None:
        """One look at the file's time, size and inode where nothing has changed."""
        path = self._path(project, model_digest)
        try:
            status = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # a file that cannot be looked at is in such a folder
            raise _unreadable(self.folder, error, AwayError) from error
        stamp = status.st_mtime_ns, status.st_size, status.st_ino
        with self._lock:
            seen = self._seen.get(path)
        if seen is not None and seen[0] == stamp:
            return seen[1]
        data = _read(path)
        if data is not None:
            with self._lock:
                if len(self._seen) >= _REMEMBERED:
                    self._seen.clear()
                self._seen[path] = stamp, data
        return data

    def models(self, project: str) -> Mapping[str, bytes]:
        return {model: data for (_, model), data in self._matching(f"{project}-*.json").items()}

    def projects(self) -> Mapping[tuple[str, str], bytes]:
        return self._matching("*-*.json")

    def _matching(self, pattern: str) -> dict[tuple[str, str], bytes]:
        found = {}
        try:
            paths = sorted(self.folder.glob(pattern)) if self.folder.is_dir() else []
        except OSError as error:
            raise _unreadable(self.folder, error, AwayError) from error
        for path in paths:
            project, _, model = path.name.removesuffix(".json").rpartition("-")
            data = _read(path) if project else None
            if data is not None:
                found[project, model] = data
        return found

    def put(
        self,
        project: str,
        model_digest: str,
        data: bytes,
        instead_of: bytes | Anything | None = Anything.ANYTHING,
    ) -> bool:
        """One at a time, of all processes of this machine (not on Windows, which has no flock).

        Where the lock does not hold, such as on a network's file system, another one that writes
        within the same milliseconds may still be lost.
        """
        path = self._path(project, model_digest)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone_in(self.folder):
                if instead_of is not Anything.ANYTHING and _read(path) != instead_of:
                    return False
                _write(path, data)
        except OSError as error:
            raise StateError(
                f"tuned thresholds cannot be written to {self.folder} ({error.strerror or error}): "
                "set LABELVINO_STATE_DIR to a folder that can be written to."
            ) from error
        return True

    def remove(self, project: str, model_digest: str) -> bool:
        path = self._path(project, model_digest)
        try:
            path.unlink()
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise StateError(
                f"{path} cannot be removed ({error.strerror or error}): remove it by hand."
            ) from error
        return True

    def close(self) -> None:
        pass

    def _path(self, project: str, model_digest: str) -> Path:
        project, model_digest = checked_place(project, model_digest)
        return self.folder / f"{project}-{short(model_digest)}.json"


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    if sys.platform == "win32":
        yield
        return
    import fcntl

    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _write(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read(path: Path) -> bytes | None:
    """None where it is gone meanwhile; too large a file is damaged, and cut off."""
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError, kind: type[StateError] = StateError) -> StateError:
    return kind(
        f"tuned thresholds in {path} cannot be read ({error.strerror or error}): let this user "
        "read it, or set LABELVINO_STATE_DIR to another folder."
    )
