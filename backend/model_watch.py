"""Loads the model again when its files change or a signal asks for it."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from backend.model_slot import ModelSlot
from backend.predictor import Predictor
from backend.runtime.errors import LabelvinoError

log = logging.getLogger("labelvino")

LOOK_EVERY_S = 2.0
# One file alone may be half of a copy: so many looks without a change before it is tried.
_LOOKS_FOR_BOTH = 8

Stamp = tuple[tuple[int, int, int] | None, ...]


def file_stamp(model_path: Path) -> Stamp:
    """Modification time, size and inode of the .xml and the .bin; None for one that is not there.

    Taken before a model is loaded, it tells later whether the files are still those.
    """
    return tuple(_stamp(path) for path in (model_path, model_path.with_suffix(".bin")))


class ModelWatch:
    """Looks at the model's files in a thread of its own, and loads beside the model that serves.

    A model that cannot be used leaves the old one serving; why is said once, and it is tried again
    when the files change again.
    """

    def __init__(
        self,
        model_path: Path,
        stamp: Stamp,
        load: Callable[[], Predictor],
        slot: ModelSlot,
        count: Callable[[Literal["ok", "failed"]], None],
    ) -> None:
        """`stamp`: of the files as the serving model was loaded; `count` hears of each reload."""
        self._path = model_path
        self._load = load
        self._slot = slot
        self._count = count
        self._serving: Stamp = stamp
        self._handled: Stamp | None = stamp
        self._last_seen: Stamp = stamp
        self._quiet_looks = 0
        self._wake = threading.Event()
        self._stopped = False
        self._thread: threading.Thread | None = None

    def start(self, *, look: bool) -> None:
        """Begin; without `look`, only `wake` loads."""
        interval_s = LOOK_EVERY_S if look else None
        self._thread = threading.Thread(
            target=self._run, args=(interval_s,), name="labelvino-model-watch", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Load again now, whatever the files look like; may be called by a signal handler."""
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Load no more; returns whether the thread has ended within `timeout_s`."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        return self._thread is None or not self._thread.is_alive()

    def _run(self, interval_s: float | None) -> None:
        while True:
            asked = self._wake.wait(interval_s)
            if self._stopped:
                return
            if asked:
                self._wake.clear()
                self.reload()
            else:
                self.look()

    def look(self) -> None:
        """Load if the files have changed and are at rest since the last look."""
        now = file_stamp(self._path)
        self._quiet_looks = self._quiet_looks + 1 if now == self._last_seen else 0
        self._last_seen = now
        if now == self._handled or self._quiet_looks == 0:
            return
        changed = [new != old for new, old in zip(now, self._serving, strict=True)]
        if not all(changed) and any(changed) and self._quiet_looks < _LOOKS_FOR_BOTH:
            return
        self.reload()

    def reload(self) -> None:
        """Load the files, and serve them if they are good."""
        self._reload()
        gc.collect()  # the old engine, or the refused one, holds much memory

    def _reload(self) -> None:
        before = file_stamp(self._path)
        self._handled = before
        reason = ""
        try:
            predictor = self._load()
        except LabelvinoError as error:
            reason = str(error)
        except Exception as error:
            # Whatever a broken file does to a library, the old model goes on serving.
            log.exception("the model cannot be loaded again")
            reason = f"unexpected {type(error).__name__}; see the log."
        if file_stamp(self._path) != before:
            log.info("the model's files changed while they were loaded: they are tried again.")
            self._handled = None
        elif reason:
            log.error("the model at %s is not used, the old one serves on: %s", self._path, reason)
            self._count("failed")
        else:
            old = self._slot.current.planner.default_version
            self._slot.swap(predictor)
            self._serving = before
            self._count("ok")
            new = predictor.planner.default_version
            log.info("model loaded again: version %s, was %s", new, old)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
