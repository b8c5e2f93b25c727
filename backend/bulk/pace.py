"""So many tasks a second, and no more."""

from __future__ import annotations

import threading
import time


class Pace:
    """Lets so many tasks a second pass, whatever the number of threads."""

    def __init__(self, rate: float | None) -> None:
        """`rate`: tasks a second; None: as fast as it goes."""
        self._rate = rate
        self._next_s = 0.0
        self._lock = threading.Lock()

    def wait(self, tasks: int, stop: threading.Event) -> None:
        """Return when `tasks` more may be written, or at once when `stop` is set."""
        if self._rate is None:
            return
        with self._lock:
            now_s = time.monotonic()
            at_s = max(now_s, self._next_s)
            self._next_s = at_s + tasks / self._rate
        stop.wait(at_s - now_s)
