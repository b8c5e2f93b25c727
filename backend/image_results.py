"""What the model finds in the images of tasks, asked of the result cache first."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from hashlib import sha256
from threading import Lock
from typing import Protocol

from backend.recent_images import RecentImages
from backend.result_cache import ResultCache, result_key
from backend.runtime.candidates import Candidates
from backend.runtime.detections import Detections
from backend.runtime.engine import UNKNOWN, Engine
from backend.runtime.image import DecodedImage, ImageLimits, decode_image, pixel_count

# Kept of every image, so that a lower threshold, a prompt and tuning cost no inference.
FLOOR_SCORE = 0.05
# A larger image can cost gigabytes, where the model resizes it itself: one at a time.
_LARGE_PIXELS = 24_000_000


class ImageSource(Protocol):
    """Where a task's images come from."""

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        """The bytes of an image. Raises FetchError."""


class ImageResults:
    """One model's results; may be called from any thread.

    With and without a cache they are the same: both are made from the model's candidates.
    """

    def __init__(
        self,
        engine: Engine,
        source: ImageSource,
        limits: ImageLimits,
        max_detections: int,
        cache: ResultCache | None = None,
    ) -> None:
        self._engine = engine
        self._source = source
        self._limits = limits
        self._max_detections = max_detections
        self._cache = cache
        self._large_image = Lock()
        self._recent = RecentImages()

    def of_address(
        self, url: str, min_score: float, *, task_id: int | None, deadline: float
    ) -> Detections:
        """Detections from `min_score` on in the image that a task's address leads to.

        Not fetched where it was a moment ago and the result is still there. Raises FetchError,
        ImageError or InferenceError.
        """
        cache = self._cache
        if cache is None:
            data = self._source.fetch(url, task_id=task_id, deadline=deadline)
            return self._candidates(data, min_score)[1].detections(min_score, self._max_detections)
        known = cache.addresses.get(task_id, url)
        if known is not None:
            found = cache.find(self._key(known), self._is_enough(min_score))
            if found is not None:
                cache.counts.add(cache.addresses.name, "hit")
                return found.detections(min_score, self._max_detections)
        cache.counts.add(cache.addresses.name, "miss")
        data = self._source.fetch(url, task_id=task_id, deadline=deadline)
        image_digest = sha256(data).hexdigest()
        floor = min(FLOOR_SCORE, min_score)
        found = cache.get(
            self._key(image_digest),
            self._is_enough(min_score),
            lambda: self._candidates(data, floor, image_digest)[1],
        )
        cache.addresses.put(task_id, url, image_digest)
        return found.detections(min_score, self._max_detections)

    def pixels(self, url: str, *, task_id: int | None, deadline: float) -> DecodedImage:
        """The image that a task's address leads to, whole; kept for a moment.

        Raises FetchError or ImageError.
        """
        image = self._recent.get(task_id, url)
        if image is None:
            data = self._source.fetch(url, task_id=task_id, deadline=deadline)
            large = pixel_count(data) > _LARGE_PIXELS
            with self._large_image if large else nullcontext():
                image = decode_image(data, self._limits)
            self._recent.put(task_id, url, image)
        return image

    def of_image(self, data: bytes, min_score: float) -> tuple[DecodedImage, Detections]:
        """An image's bytes -> its pixels, and detections from `min_score` on; no cache is asked.

        Raises ImageError or InferenceError.
        """
        image, found = self._candidates(data, min_score)
        if image.full_size is not None:
            image = decode_image(data, self._limits)
        return image, found.detections(min_score, self._max_detections)

    def _candidates(
        self, data: bytes, floor_score: float, digest: str | None = None
    ) -> tuple[DecodedImage, Candidates]:
        large = pixel_count(data) > _LARGE_PIXELS
        with self._large_image if large else nullcontext():
            # At a reduced scale where the model looks at no more.
            image = decode_image(data, self._limits, self._engine.needed_size, digest)
            return image, self._engine.candidates(image, floor_score, self._max_detections)

    def _key(self, image_digest: str) -> str:
        engine = self._engine
        precision = engine.precision
        if precision == UNKNOWN:  # then at least the device must be the same
            precision = f"{UNKNOWN} on {','.join(engine.execution_devices)}"
        return result_key(image_digest, engine.model_digest, precision)

    def _is_enough(self, min_score: float) -> Callable[[Candidates], bool]:
        def is_enough(found: Candidates) -> bool:
            # An image that is refused today may have been seen while the limit was higher.
            pixels = found.geometry.image_width * found.geometry.image_height
            allowed = pixels <= self._limits.max_pixels
            return allowed and found.can_answer(min_score, self._max_detections)

        return is_enough
