"""What the demo is doing, step by step: alive on a terminal, a line each in logs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console


class Steps:
    """Writes to stderr."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)

    def say(self, sentence: str) -> None:
        self._console.print(f"  {sentence}", markup=False, soft_wrap=True)

    @contextmanager
    def step(self, what: str) -> Iterator[Callable[[str], None]]:
        """Show that `what` goes on, and how long it took; call the yielded function with news."""
        start = time.monotonic()
        if not self._console.is_terminal:
            yield lambda _: None
        else:
            with self._console.status(what) as status:
                yield lambda news: status.update(f"{what}: {news}")
        self.say(f"{what} ({time.monotonic() - start:.0f} s)")
