"""The result cache's store in this process."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

from backend.runtime.candidates import Candidates

# Arrays, tuples and the key of an entry, besides the numbers in it.
_ENTRY_BYTES = 1024
_CELLS_BYTES = 256


class MemoryStore:
    """The results used last, up to a number of bytes."""

    name = "memory"

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: OrderedDict[str, Candidates] = OrderedDict()
        self._lock = Lock()

    @property
    def size_bytes(self) -> int:
        """Memory that the entries take, roughly."""
        return self._bytes

    def get(self, key: str) -> Candidates | None:
        with self._lock:
            found = self._entries.get(key)
            if found is not None:
                self._entries.move_to_end(key)
            return found

    def put(self, key: str, found: Candidates) -> None:
        size = _memory_bytes(found)
        if size > self._max_bytes:
            return  # it would push out everything else
        with self._lock:
            old = self._entries.pop(key, None)
            self._bytes += size - (0 if old is None else _memory_bytes(old))
            self._entries[key] = found
            while self._bytes > self._max_bytes:
                _, oldest = self._entries.popitem(last=False)
                self._bytes -= _memory_bytes(oldest)


def _memory_bytes(found: Candidates) -> int:
    return found.size_bytes + _ENTRY_BYTES + _CELLS_BYTES * len(found)
