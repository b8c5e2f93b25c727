"""Asking a Label Studio that is slow, busy or restarting again, and not too often."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from backend.labelstudio.image_body import PASSING_STATUS
from backend.labelstudio.json_calls import RefusedError, UnreachableError

log = logging.getLogger("labelvino")

T = TypeVar("T")


class Patience:
    """Repeats what failed for a passing reason: waits double, with jitter, up to a limit."""

    def __init__(
        self,
        *,
        first_wait_s: float = 0.5,
        longest_wait_s: float = 30.0,
        give_up_s: float = 300.0,
    ) -> None:
        """`give_up_s`: from the first failure on."""
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._give_up_s = give_up_s
        self.stop_event = threading.Event()

    def stop(self) -> None:
        """Wait no more; what fails from now on has failed."""
        self.stop_event.set()

    @property
    def stopped(self) -> bool:
        return self.stop_event.is_set()

    def pause(self, seconds: float) -> None:
        """Wait, but not after a stop."""
        self.stop_event.wait(seconds * random.uniform(0.5, 1.5))  # noqa: S311

    def call(self, do: Callable[[], T]) -> T:
        """What `do` gives; it must be safe to call again. Raises its last error."""
        began_s: float | None = None
        wait_s = self._first_wait_s
        while True:
            try:
                return do()
            except (RefusedError, UnreachableError) as error:
                now_s = time.monotonic()
                began_s = now_s if began_s is None else began_s
                asked_s = _passing_wait_s(error)
                pause_s = max(wait_s * random.uniform(0.5, 1.5), asked_s or 0.0)  # noqa: S311
                over = now_s + pause_s - began_s > self._give_up_s
                if asked_s is None or over or self.stopped:
                    raise
                log.warning("%s Asked again in %.1f s.", error, pause_s)
                if self.stop_event.wait(pause_s):
                    raise
            wait_s = min(wait_s * 2, self._longest_wait_s)


def _passing_wait_s(error: RefusedError | UnreachableError) -> float | None:
    """The least to wait before asking again; None where that would not help."""
    if isinstance(error, UnreachableError):
        return 0.0
    if error.status not in PASSING_STATUS:  # SQLite's "database is locked" is a 500
        return None
    return error.retry_after_s or 0.0
