"""What is done of a run, on disk: a run that was broken off goes on where it was."""

from __future__ import annotations

import fcntl
import os
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from backend.runtime.errors import SettingsError

_FORMAT = "labelvino journal 1"


class Journal:
    """Predictions by the place of their task, one line each; use it in `with`.

    A line counts when it is whole: what a kill or a power cut left behind the last whole line is
    cut off, and done again. Only places are kept in memory, 8 bytes a task.
    """

    def __init__(self, path: Path, run: Mapping[str, str], *, anew: bool = False) -> None:
        """`run`: what must be the same for the lines to be of use; `anew`: drop what is there.

        Raises SettingsError where the file is of another run, in use, or cannot be written.
        """
        self.path = path
        self._run = dict(run)
        self._offsets = array("q")
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise SettingsError(
                f"{path} cannot be written ({error.strerror}): give another --out."
            ) from error
        try:
            self._lock()
            if anew:
                self._begin()
            else:
                self._read()
        except BaseException:
            self._file.close()
            raise

    def has(self, place: int) -> bool:
        """Whether there is a prediction of this task."""
        return place < len(self._offsets) and self._offsets[place] >= 0

    def count(self, places: int) -> int:
        """How many of the first `places` tasks it has."""
        return sum(offset >= 0 for offset in self._offsets[:places])

    def add(self, predictions: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
        """Place and prediction of some tasks; on disk when it returns."""
        end = self._file.seek(0, os.SEEK_END)
        lines = []
        for place, prediction in predictions:
            line = orjson.dumps({"place": place, "prediction": prediction}) + b"\n"
            self._note(place, end)
            end += len(line)
            lines.append(line)
        if lines:
            self._file.write(b"".join(lines))
            self._sync()

    def prediction(self, place: int) -> dict[str, Any]:
        """Of a task that `has` one."""
        self._file.seek(self._offsets[place])
        found: dict[str, Any] = orjson.loads(self._file.readline())["prediction"]
        return found

    def remove(self) -> None:
        """It is of no use any more."""
        self.path.unlink(missing_ok=True)

    def _lock(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another run is writing {self.path}: wait for it, or give another --out."
            ) from None

    def _read(self) -> None:
        self._file.seek(0)
        header = _whole(self._file.readline())
        if header is None:
            if self._file.seek(0, os.SEEK_END) and not self._is_cut_header():
                raise SettingsError(f"{self.path} is no journal of labelvino: move it away.")
            self._begin()
            return
        if header.get("format") != _FORMAT or not isinstance(header.get("run"), dict):
            raise SettingsError(f"{self.path} is no journal of labelvino: move it away.")
        there = header["run"]
        changed = [name for name in self._run if there.get(name) != self._run[name]]
        if changed:
            raise SettingsError(
                f"{self.path} is of a run with another {' and another '.join(changed)}: --replace "
                "begins anew, or give another --out."
            )
        self._read_lines()

    def _read_lines(self) -> None:
        end = self._file.tell()
        while (entry := _whole(line := self._file.readline())) is not None:
            place = entry.get("place")
            if not isinstance(place, int) or not isinstance(entry.get("prediction"), dict):
                break
            self._note(place, end)
            end += len(line)
        self._file.truncate(end)

    def _is_cut_header(self) -> bool:
        """Of a run that was killed while it wrote its first line."""
        self._file.seek(0)
        begun = self._file.read(4096)
        return b"\n" not in begun and self._header().startswith(begun)

    def _begin(self) -> None:
        self._file.truncate(0)
        self._file.write(self._header())
        self._sync()

    def _header(self) -> bytes:
        return orjson.dumps({"format": _FORMAT, "run": self._run}) + b"\n"

    def _note(self, place: int, offset: int) -> None:
        missing = place + 1 - len(self._offsets)
        if missing > 0:
            self._offsets.extend([-1] * missing)
        self._offsets[place] = offset

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()


def _whole(line: bytes) -> dict[str, Any] | None:
    """A line's object; None for the end, or a line that is not whole."""
    if not line.endswith(b"\n"):
        return None
    try:
        found = orjson.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
