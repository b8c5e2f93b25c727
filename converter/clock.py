"""How long each phase of a command takes."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """Seconds of each phase; `phase` hears its name as it begins. One that comes again adds up."""

    def __init__(self, phase: Callable[[str], None]) -> None:
        self._phase = phase
        self._seconds: dict[str, float] = {}
        self._name = ""
        self._since = 0.0

    def start(self, name: str) -> None:
        """Begin a phase; the one before is done."""
        self.stop()
        self._name, self._since = name, time.perf_counter()
        self._phase(name)

    def stop(self) -> dict[str, float]:
        """End the last phase; seconds by name."""
        if self._name:
            spent = time.perf_counter() - self._since
            self._seconds[self._name] = round(self._seconds.get(self._name, 0.0) + spent, 3)
        return self._seconds
