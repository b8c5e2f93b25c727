"""What a threshold costs the people who correct predictions, from counts of what they did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

Objective = Literal["effort", "f1"]
Numbers = npt.NDArray[np.float64]

HIT, POOR, FALSE = 0, 1, 2
"""Places in the counts of shown predictions: those that hit an object, those of them that overlap
it too little to stay as they are, and those that hit none."""


@dataclass(frozen=True)
class CostModel:
    """Seconds of work; docs/tuning.md has the reasons for the defaults.

    delete_s       notice, judge, select and delete a false positive
    draw_s         draw an object that was missed
    reshape_s      correct an outline that hits its object with an IoU below `reshape_below`
    reshape_below  outlines from this IoU on are kept as they are
    """

    delete_s: float = 5.0
    draw_s: float = 30.0
    reshape_s: float = 15.0
    reshape_below: float = 0.75

    def __post_init__(self) -> None:
        costs = (self.delete_s, self.draw_s, self.reshape_s)
        if not (np.isfinite(costs).all() and min(costs) >= 0 and max(costs) > 0):
            raise ValueError(f"costs must be seconds from 0 on, and not all 0, but are {costs}")
        if not 0.5 <= self.reshape_below <= 1.0:
            raise ValueError(f"reshape_below must be within 0.5..1, but is {self.reshape_below}")


@dataclass(frozen=True)
class Loss:
    """What is to become small: seconds of work, or 1 - F1."""

    objective: Objective
    costs: CostModel

    def of(self, shown: Numbers, objects: Numbers | float, *, axis: int = -1) -> Numbers:
        """Of summed counts: `shown` has HIT, POOR and FALSE along `axis`.

        `objects`: how many there are, of a shape that goes with what is left. Nothing shown where
        there is nothing is no loss.
        """
        hit, poor, false = np.moveaxis(shown, axis, 0)
        missed = objects - hit
        if self.objective == "effort":
            costs = self.costs
            work: Numbers = false * costs.delete_s + missed * costs.draw_s + poor * costs.reshape_s
            return work
        at_all = 2 * hit + false + missed
        wrong: Numbers = (false + missed) / np.where(at_all > 0, at_all, 1.0)
        return wrong

    def of_one(self, shown: Numbers, objects: float) -> Numbers:
        """What one more prediction of each kind adds: a good hit, a poor one, a false positive.

        `shown` [3], `objects`: where it is added; effort is the same everywhere.
        """
        if self.objective == "effort":
            costs = self.costs
            return np.array([-costs.draw_s, costs.reshape_s - costs.draw_s, costs.delete_s])
        hit, _, false = shown
        at_all = max(hit + false + objects, 1.0)
        f1 = 2 * hit / at_all
        added: Numbers = np.array([f1 - 2, f1 - 2, f1]) / at_all
        return added
