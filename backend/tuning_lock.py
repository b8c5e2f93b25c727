"""One tuning of a project at a time, between the processes of a stock label-studio-ml."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def tuning_alone(project: int) -> Iterator[bool]:
    """Yields whether no other process of this user tunes the project.

    The end of the block frees it, and so does that of the process.
    """
    path = Path(tempfile.gettempdir()) / f"labelvino-tuning-{os.getuid()}-{project}.lock"
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(handle)
