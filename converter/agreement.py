"""How far two models agree over many images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from converter.match import Matching, Pair


@dataclass(frozen=True)
class Agreement:
    """Many images together. All figures are of instances above the floor, as in Matching."""

    images: int = 0
    pairs: tuple[Pair, ...] = field(default=(), repr=False)
    only_one: int = 0
    only_other: int = 0
    flat: tuple[int, int] = (0, 0)
    broken: tuple[int, int] = (0, 0)

    @classmethod
    def of(cls, matchings: Sequence[Matching]) -> Agreement:
        """The sum of some images."""
        return cls(
            images=len(matchings),
            pairs=tuple(pair for m in matchings for pair in m.pairs),
            only_one=sum(len(m.only_one) for m in matchings),
            only_other=sum(len(m.only_other) for m in matchings),
            flat=(sum(m.flat[0] for m in matchings), sum(m.flat[1] for m in matchings)),
            broken=(sum(m.broken[0] for m in matchings), sum(m.broken[1] for m in matchings)),
        )

    @property
    def count_one(self) -> int:
        """Instances of one side."""
        return len(self.pairs) + self.only_one

    @property
    def count_other(self) -> int:
        """Instances of the other side."""
        return len(self.pairs) + self.only_other

    @property
    def share(self) -> float:
        """Matched instances among all of both sides, 0..1; nothing on both sides is 1."""
        total = self.count_one + self.count_other
        return 2 * len(self.pairs) / total if total else 1.0

    @property
    def share_of_one(self) -> float:
        """What the other side keeps of one side's instances, 0..1; 1 where there are none."""
        return len(self.pairs) / self.count_one if self.count_one else 1.0

    def quantile(self, name: Literal["box_px", "score", "mask_iou", "mask"], q: float) -> float:
        """A quantile over the pairs that have this figure; nan where none has."""
        values = [v for pair in self.pairs if (v := getattr(pair, name)) is not None]
        return float(np.quantile(values, q)) if values else float("nan")

    @property
    def mean_mask_iou(self) -> float:
        """Over the pairs with masks; nan where there are none."""
        values = [pair.mask_iou for pair in self.pairs if pair.mask_iou is not None]
        return float(np.mean(values)) if values else float("nan")
