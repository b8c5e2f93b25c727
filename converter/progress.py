"""What the converter is doing and for how long, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

_SENTENCES = {
    "load": "reading the source",
    "convert": "converting it",
    "adapt": "bringing it to the contract",
    "write": "writing the IR",
    "verify": "trying the IR in a process of its own",
    "fetch": "fetching the project's images",
    "parent": "looking at the images with the parent",
    "calibrate": "calibrating and quantising",
    "check": "comparing with the parent",
    "images": "looking at the images",
    "throughput": "measuring throughput",
    "starts": "starting each model by itself",
    "report": "writing the report",
}


class PhaseProgress:
    """A line on stderr for each phase, with its elapsed time."""

    def __init__(self) -> None:
        self._progress = Progress(
            SpinnerColumn(finished_text="✓"),
            TextColumn("{task.description}"),
            TimeElapsedColumn(),
            console=Console(file=sys.stderr),
            disable=not sys.stderr.isatty(),
        )
        self._task: TaskID | None = None
        self._sentence = ""

    def __enter__(self) -> PhaseProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self._finish()
        self._progress.stop()

    def start(self, phase: str) -> None:
        """Begin a phase; the one before is done."""
        self._finish()
        self._sentence = _SENTENCES.get(phase, phase)
        self._task = self._progress.add_task(self._sentence, total=1)

    def count(self, done: int, of: int) -> None:
        """How far the phase is."""
        if self._task is not None:
            self._progress.update(self._task, description=f"{self._sentence}, {done} of {of}")

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1)


class DownloadProgress:
    """A bar on stderr for each file."""

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            disable=not sys.stderr.isatty(),
        )

    def __enter__(self) -> DownloadProgress:
        self._progress.start()
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def file(self, name: str) -> Callable[[int, int | None], None]:
        """Begin a file; what is returned hears (bytes so far, all bytes or None)."""
        task = self._progress.add_task(name, total=None)

        def hear(have: int, total: int | None) -> None:
            self._progress.update(task, completed=have, total=total)

        return hear
