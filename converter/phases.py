"""Which phase a conversion is in: a source says when it has read its files and converts them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_listener: ContextVar[Callable[[str], None]] = ContextVar("listener", default=lambda _phase: None)


@contextmanager
def heard_by(listener: Callable[[str], None]) -> Iterator[None]:
    """Within it, `listener` hears of each phase that begins."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def begin(phase: str) -> None:
    """A phase begins, the one before ends: load, convert, adapt, write, verify."""
    _listener.get()(phase)
