"""What the converter is doing and for how long, on a terminal; nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

_SENTENCES = {
    "load": "reading the source",
    "adapt": "bringing it to the contract",
    "write": "writing the IR",
    "verify": "trying the IR on two images",
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
        self._task = self._progress.add_task(_SENTENCES.get(phase, phase), total=1)

    def _finish(self) -> None:
        if self._task is not None:
            self._progress.update(self._task, completed=1)
