"""Tasks drawn anew by chance: folds that are left out, and weights of a bootstrap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from backend.corrections.tuning.effort import Numbers


@dataclass(frozen=True)
class Interval:
    """A figure, and between which it lies with the confidence that was asked for."""

    middle: float
    low: float
    high: float


def interval(middle: float, drawn: Numbers, tail: float) -> Interval:
    """`drawn` [B]: the figure in each draw; `tail`: the share that is cut off at either end."""
    low, high = np.quantile(drawn, (tail, 1 - tail))
    return Interval(middle, float(low), float(high))


@dataclass(frozen=True, eq=False)
class Resampling:
    """`fold_numbers` [repeats, T]: the fold of each task; `draws` f64 [B, T]: how often each task
    counts in each draw."""

    fold_numbers: Numbers
    draws: Numbers

    @classmethod
    def of(cls, tasks: int, folds: int, repeats: int, draws: int, seed: int) -> Resampling:
        """The same for the same arguments."""
        chance = np.random.default_rng(seed)
        numbers = np.arange(tasks) % folds
        fold_numbers = np.array([chance.permutation(numbers) for _ in range(repeats)])
        drawn = chance.multinomial(tasks, np.full(tasks, 1 / tasks), size=draws)
        return cls(fold_numbers.reshape(repeats, tasks), drawn.astype(np.float64))

    @property
    def repeats(self) -> int:
        return len(self.fold_numbers)

    def folds(self) -> Iterator[Numbers]:
        """Of every repeat each fold: f64 [T], 1 for the tasks in it, 0 for the others."""
        for numbers in self.fold_numbers:
            for fold in np.unique(numbers):
                yield (numbers == fold).astype(np.float64)
