"""How sure it is that an annotated object which a model does not see is not there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from backend.corrections.instances import Instance

# Shares of the image's area between small, medium and large: COCO's 32x32 and 96x96 pixels in a
# photo of 640x480.
_SIZES = (32 * 32 / (640 * 480), 96 * 96 / (640 * 480))
_PRIOR = 4.0  # examples that all labels of the size count as


class Overlooked:
    """Which share of annotated objects a model sees, by label and size.

    Rare labels lean on all labels of their size: the share of the label is smoothed with as much
    as four examples of the size, and that of the size by one seen and one unseen.
    """

    def __init__(self, seen: Iterable[tuple[Instance, bool]]) -> None:
        """Annotated instances, and whether the model sees anything there."""
        self._all: Counter[object] = Counter()
        self._seen: Counter[object] = Counter()
        for instance, is_seen in seen:
            for key in _keys(instance):
                self._all[key] += 1
                self._seen[key] += is_seen

    def share_seen(self, instance: Instance) -> float:
        """0..1, of objects of its label and size."""
        of_label, of_size = _keys(instance)
        base = (self._seen[of_size] + 1) / (self._all[of_size] + 2)
        return (self._seen[of_label] + _PRIOR * base) / (self._all[of_label] + _PRIOR)


def _keys(instance: Instance) -> tuple[tuple[str, int], int]:
    share = instance.area_px / (instance.frame.width * instance.frame.height)
    size = sum(share >= border for border in _SIZES)
    return (instance.label, size), size
