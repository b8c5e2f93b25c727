"""The pixels of the images that people work on just now, for closer looks."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from backend.runtime.image import DecodedImage

_Key = tuple[int | None, str]


class RecentImages:
    """Decoded images by task and address, for a short time and within a few bytes.

    By task and address together, for the reason that AddressMemory gives.
    """

    def __init__(
        self,
        life_s: float = 120.0,
        max_bytes: int = 128 * 1024 * 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """An image larger than `max_bytes` is not kept."""
        self._life_s = life_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._images: OrderedDict[_Key, tuple[float, DecodedImage]] = OrderedDict()
        self._lock = Lock()

    def get(self, task_id: int | None, url: str) -> DecodedImage | None:
        with self._lock:
            self._forget()
            found = self._images.get((task_id, url))
            return found[1] if found else None

    def put(self, task_id: int | None, url: str, image: DecodedImage) -> None:
        with self._lock:
            self._images.pop((task_id, url), None)
            self._images[task_id, url] = (self._clock(), image)
            self._forget()

    def _forget(self) -> None:
        """The old ones, and the oldest until the rest fits."""
        now_s = self._clock()
        size = sum(image.pixels.nbytes for _, image in self._images.values())
        for key, (since_s, image) in list(self._images.items()):
            if now_s - since_s < self._life_s and size <= self._max_bytes:
                return
            del self._images[key]
            size -= image.pixels.nbytes
