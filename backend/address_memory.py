"""Which image an address led to a moment ago."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from threading import Lock


class AddressMemory:
    """Which image an address led to a moment ago, so that a prompt does not fetch it again.

    Remembered by task and address together: Label Studio resolves an address by the rights of the
    task's project, so that one task's fetch says nothing about what another may see. It stays in
    this process, and a fetch that failed is not remembered (docs/adr/0008-result-cache.md).
    """

    name = "address"

    def __init__(
        self,
        life_s: float,
        max_entries: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`life_s`: from the fetch on, however often it is asked for; 0 remembers nothing."""
        self._life_s = life_s
        self._max_entries = max_entries
        self._clock = clock
        self._entries: OrderedDict[bytes, tuple[float, str]] = OrderedDict()
        self._lock = Lock()

    def get(self, task_id: int | None, url: str) -> str | None:
        """The digest of the image's bytes, or None."""
        key = _address_key(task_id, url)
        with self._lock:
            fetched_at_s, digest = self._entries.get(key, (0.0, ""))
            if not digest:
                return None
            if self._clock() - fetched_at_s >= self._life_s:
                del self._entries[key]
                return None
            return digest

    def put(self, task_id: int | None, url: str, image_digest: str) -> None:
        if self._life_s <= 0:
            return
        key = _address_key(task_id, url)
        with self._lock:
            self._entries[key] = (self._clock(), image_digest)
            self._entries.move_to_end(key)
            while len(self._entries) > self._max_entries:
                self._entries.popitem(last=False)


def _address_key(task_id: int | None, url: str) -> bytes:
    return sha256(f"{task_id}\n{url}".encode(errors="surrogatepass")).digest()
