"""The temporary folder of a conversion, and what is done with one that a killed process left."""

from __future__ import annotations

import fcntl
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

OLD_GRAPH, OLD_WEIGHTS = "replaced.xml", "replaced.bin"
"""What stood under the final names, while the new files take them."""
_LOCK = "labelvino.lock"


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """A hidden folder beside `target`, on the same file system, locked, that vanishes in the end.

    Raises OSError where the folder cannot be written to.
    """
    folder = Path(tempfile.mkdtemp(prefix=f".{target.stem}-", dir=target.parent))
    try:
        unlocked = folder / f"{_LOCK}.new"
        with unlocked.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            unlocked.rename(folder / _LOCK)  # it is never seen without its lock held
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """One conversion at a time; a file system without locks does without."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def clean_up_after_killed(target: Path) -> tuple[str, ...]:
    """Remove what killed conversions to `target` left beside it; returns a sentence for each.

    Where one was killed while it replaced an IR, the old IR gets its name back. Folders of
    conversions that still run are locked, and left alone.
    """
    said = []
    for lock in sorted(target.parent.glob(f".{glob.escape(target.stem)}-*/{_LOCK}")):
        with suppress(OSError), lock.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            folder = lock.parent
            if _restore(folder, target):
                said.append(f"{target} is back, which a killed conversion was about to replace")
            shutil.rmtree(folder, ignore_errors=True)
            said.append(f"removed {folder}, which a killed conversion had left")
    return tuple(said)


def _restore(folder: Path, target: Path) -> bool:
    graph, weights = folder / OLD_GRAPH, folder / OLD_WEIGHTS
    if target.exists() or not graph.exists():
        return False
    if weights.exists():
        weights.replace(target.with_suffix(".bin"))
    graph.replace(target)
    return True
