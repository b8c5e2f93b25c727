"""A moment by which the work of this thread must be done, seen by the sockets below it.

A server that sends one byte a second never runs into a read timeout. So each wait on a socket,
a lock or a name server asks here how long it may last.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ends_at_s: ContextVar[float] = ContextVar("ends_at_s", default=math.inf)


@contextmanager
def finish_by(at_s: float) -> Iterator[None]:
    """Within the block, waits end at `at_s` (seconds of time.monotonic()) at the latest.

    Nested blocks only shorten the time.
    """
    token = _ends_at_s.set(min(at_s, _ends_at_s.get()))
    try:
        yield
    finally:
        _ends_at_s.reset(token)


def wait_s(timeout_s: float | None) -> float | None:
    """How long one wait may last: `timeout_s` or what is left, whichever is shorter.

    None: as long as it takes. Raises TimeoutError when nothing is left.
    """
    left_s = _ends_at_s.get() - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("the time for this request is over")
    if math.isinf(left_s):
        return timeout_s
    return left_s if timeout_s is None else min(timeout_s, left_s)
