"""What was found in images already seen, so that asking again costs no inference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from threading import Event, Lock
from typing import Protocol

from backend.address_memory import AddressMemory
from backend.runtime.candidates import Candidates

# Part of every key: a change of what the numbers mean changes it.
KEY_VERSION = "v1"


def result_key(image_digest: str, model_digest: str, precision: str) -> str:
    """Everything that a result depends on: image bytes, model, effective precision."""
    return f"{KEY_VERSION}:{model_digest}:{precision}:{image_digest}"


class ResultStore(Protocol):
    """Keeps candidates by key. It never raises: what fails is a miss."""

    name: str

    def get(self, key: str) -> Candidates | None:
        """What is kept under `key`, or None."""

    def put(self, key: str, found: Candidates) -> None:
        """Keep it, if there is room."""


class CacheCounts:
    """Hits, misses and errors by store, for /metrics."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = Lock()

    def add(self, store: str, outcome: str) -> None:
        with self._lock:
            self._counts[store, outcome] += 1

    def snapshot(self) -> Mapping[tuple[str, str], int]:
        """Numbers by store and outcome (hit, miss, error)."""
        with self._lock:
            return dict(self._counts)


class _Work:
    """A key that one thread looks for; the others wait for `done`."""

    def __init__(self) -> None:
        self.done = Event()
        self.found: Candidates | None = None


class ResultCache:
    """Stores in the order they are asked, nearest first; may be called from any thread.

    It may outlive a model, since the keys name the model.
    """

    def __init__(
        self,
        stores: Sequence[ResultStore],
        addresses: AddressMemory,
        counts: CacheCounts | None = None,
    ) -> None:
        """`counts`: where the stores count their errors."""
        self.stores = tuple(stores)
        self.addresses = addresses
        self.counts = counts or CacheCounts()
        self._under_way: dict[str, _Work] = {}
        self._lock = Lock()
        self._remembered = 0

    @property
    def remembered(self) -> int:
        """How often an inference was saved."""
        return self._remembered

    def find(self, key: str, is_enough: Callable[[Candidates], bool]) -> Candidates | None:
        """What a store has for `key`, if it is enough; nearer stores get it too."""
        for place, store in enumerate(self.stores):
            found = store.get(key)
            if found is not None and is_enough(found):
                self.counts.add(store.name, "hit")
                self._remember()
                for nearer in self.stores[:place]:
                    nearer.put(key, found)
                return found
            self.counts.add(store.name, "miss")
        return None

    def get(
        self,
        key: str,
        is_enough: Callable[[Candidates], bool],
        compute: Callable[[], Candidates],
    ) -> Candidates:
        """From a store, or else computed and stored; raises what `compute` raises.

        Whoever asks while another thread looks for the same waits for it, and goes on only if that
        failed or was not enough.
        """
        while True:
            with self._lock:
                other = self._under_way.get(key)
                if other is None:
                    mine = self._under_way[key] = _Work()
                    break
            other.done.wait()
            if other.found is not None and is_enough(other.found):
                self.counts.add("under way", "hit")
                self._remember()
                return other.found
        try:
            mine.found = self.find(key, is_enough)
            if mine.found is None:  # an empty one is found, too
                mine.found = self._computed(key, compute)
            return mine.found
        finally:
            with self._lock:
                del self._under_way[key]
            mine.done.set()

    def _remember(self) -> None:
        with self._lock:
            self._remembered += 1

    def _computed(self, key: str, compute: Callable[[], Candidates]) -> Candidates:
        found = compute()
        for store in self.stores:
            store.put(key, found)
        return found
