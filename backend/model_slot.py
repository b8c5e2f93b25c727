"""Which model serves now, and the change to another one without a stop."""

from __future__ import annotations

from backend.predictor import Predictor


class ModelSlot:
    """Holds the predictor that serves.

    Whoever answers a request takes `current` once and uses nothing else for it: a request that is
    under way ends on the model that it began with, which is freed with the last of them.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._current = predictor

    @property
    def current(self) -> Predictor:
        return self._current

    def swap(self, predictor: Predictor) -> None:
        """Serve with this one from the next request on; from any thread."""
        self._current = predictor
