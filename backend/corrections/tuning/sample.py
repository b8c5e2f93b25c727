"""Corrected tasks as a sample: the best threshold in it, and what it brings outside of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from backend.corrections.tuning.effort import FALSE, Loss, Numbers
from backend.corrections.tuning.evidence import GRID, LabelCurves
from backend.corrections.tuning.resampling import Interval, Resampling, interval

_ALIKE = 1e-9


@dataclass(frozen=True, eq=False)
class Gains:
    """In the sample itself, at each threshold of GRID: `found` [G], and its `spread` [G].

    `farthest` [B]: in each draw, by how many spreads a gain is too large where it is so most. Of
    the best of many thresholds that is what must be expected of chance alone.
    """

    found: Numbers
    spread: Numbers
    farthest: Numbers

    def at(self, place: int, spreads: float, held_out: float) -> Interval:
        """`held_out`, between what is left of the gain, and what it may be, `spreads` away."""
        half = spreads * float(self.spread[place])
        found = float(self.found[place])
        return Interval(held_out, found - half, found + half)


@dataclass(frozen=True, eq=False)
class Sample:
    """Tasks with the curves of their labels, and with all labels together as one (`pool`).

    `prior_examples`: of an average label, that are added to those of each label.
    """

    curves: tuple[LabelCurves, ...]
    pool: LabelCurves
    chance: Resampling
    loss: Loss
    prior_examples: float

    @classmethod
    def of(
        cls, curves: Sequence[LabelCurves], chance: Resampling, loss: Loss, prior_examples: float
    ) -> Sample:
        """`chance`: made for the number of tasks that the curves come from."""
        tasks = chance.draws.shape[1]
        shown = np.zeros((tasks, 3, len(GRID)))
        old, objects = np.zeros((tasks, 3)), np.zeros(tasks)
        for curve in curves:
            shown[curve.rows] += curve.shown
            old[curve.rows] += curve.old
            objects[curve.rows] += curve.objects
        pool = LabelCurves(-1, float("nan"), np.arange(tasks), shown, old, objects)
        return cls(tuple(curves), pool, chance, loss, prior_examples)

    @property
    def tasks(self) -> int:
        return len(self.pool.rows)

    def best(self, curve: LabelCurves) -> int:
        """Place in GRID of the least loss, for a label with the prior's help."""
        everything = np.ones(self.tasks)
        return int(self._best(curve, everything, self._prior(everything)))

    def _best(
        self, curve: LabelCurves, weights: Numbers, prior: tuple[Numbers, Numbers]
    ) -> npt.NDArray[np.intp]:
        """`weights` [..., T]: how often each task counts; `prior`: of the same weights."""
        own = weights[..., curve.rows]
        shown, objects = np.tensordot(own, curve.shown, 1), np.asarray(own @ curve.objects)
        if curve is not self.pool:
            shown, objects = shown + prior[0], objects + prior[1]
        return _middle_of_least(self.loss.of(shown, objects[..., None], axis=-2))

    def held_out(self, curve: LabelCurves) -> Numbers:
        """Counts [R, 3] with thresholds that were chosen without the task's own fold.

        A mean over the repeats, so that they do not depend on one way to make folds.
        """
        found = np.zeros_like(curve.old)
        for fold, prior in self._left_out:
            mine = fold[curve.rows]
            if mine.any():
                place = int(self._best(curve, 1.0 - fold, prior))
                found += mine[:, None] * curve.shown[:, :, place]
        return found / self.chance.repeats

    def gain(self, curve: LabelCurves, before: Numbers, after: Numbers, tail: float) -> Interval:
        """Loss with the counts `before` [R, 3] minus loss with those `after`, chosen elsewhere.

        Effort is a mean a task. `tail`: the share that is cut off at either end.
        """

        def gains(weights: Numbers) -> Numbers:
            there = weights @ curve.objects
            gone = self.loss.of(weights @ before, there) - self.loss.of(weights @ after, there)
            return gone / self.scale

        once = float(gains(np.ones(len(curve.rows))))
        return interval(once, gains(self.chance.draws[:, curve.rows]), tail)

    def gains(self, curve: LabelCurves, before: Numbers) -> Gains:
        """Against the counts `before` [R, 3], of every threshold."""

        def of(weights: Numbers) -> Numbers:
            there = np.asarray(weights @ curve.objects)
            old = self.loss.of(weights @ before, there)
            new = self.loss.of(np.tensordot(weights, curve.shown, 1), there[..., None], axis=-2)
            gone: Numbers = (old[..., None] - new) / self.scale
            return gone

        found = of(np.ones(len(curve.rows)))
        off = of(self.chance.draws[:, curve.rows]) - found
        spread = np.maximum(off.std(axis=0), self._least_spread(curve, before))
        moves = spread > _ALIKE
        farthest = (off[:, moves] / spread[moves]).max(axis=1, initial=0.0)
        return Gains(found, spread, farthest)

    def _least_spread(self, curve: LabelCurves, before: Numbers) -> Numbers:
        """Spread [G] by what kinds of predictions come or go, with the prior's share of each.

        Draws of the few that were seen know nothing of what was not seen: nine false positives in
        a row look like a label without any hit.
        """
        old = before.sum(0)
        kinds = _kinds(np.abs(curve.shown.sum(0).T - old))  # [G, 3]
        number = kinds.sum(-1, keepdims=True)
        share = _kinds(self.pool.shown[:, :, 0].sum(0))
        share = share / max(share.sum(), 1.0)
        share = (kinds + self.prior_examples * share) / np.maximum(
            number + self.prior_examples, 1.0
        )
        each = self.loss.of_one(old, float(curve.objects.sum()))
        variance = (share * each**2).sum(-1) - (share * each).sum(-1) ** 2
        spread: Numbers = np.sqrt(number[:, 0] * np.maximum(variance, 0)) / self.scale
        return spread

    @property
    def scale(self) -> float:
        """What a sum of losses is divided by."""
        return float(self.tasks) if self.loss.objective == "effort" else 1.0

    def best_interval(self, curve: LabelCurves, tail: float) -> Interval:
        """The best threshold, and where it lies in draws of the tasks."""
        drawn = GRID[self._best(curve, self.chance.draws, self._drawn_prior)]
        return interval(float(GRID[self.best(curve)]), drawn, tail)

    @cached_property
    def _drawn_prior(self) -> tuple[Numbers, Numbers]:
        return self._prior(self.chance.draws)

    @cached_property
    def _left_out(self) -> list[tuple[Numbers, tuple[Numbers, Numbers]]]:
        """Each fold, with the prior of the tasks outside of it."""
        return [(fold, self._prior(1.0 - fold)) for fold in self.chance.folds()]

    def _prior(self, weights: Numbers) -> tuple[Numbers, Numbers]:
        """Counts [..., 3, G] and objects [...] of some examples of an average label."""
        pool = self.pool
        objects = weights @ pool.objects
        examples = objects + weights @ pool.old[:, FALSE]
        share = np.asarray(self.prior_examples / np.maximum(examples, 1.0))
        shown: Numbers = np.tensordot(weights, pool.shown, 1) * share[..., None, None]
        return shown, objects * share


def _kinds(shown: Numbers) -> Numbers:
    """HIT, POOR, FALSE -> good hits, poor hits, false ones, [..., 3]."""
    hit, poor, false = np.moveaxis(shown, -1, 0)
    return np.stack([hit - poor, poor, false], axis=-1)


def within(curves: Sequence[LabelCurves], chosen: npt.NDArray[np.bool_]) -> list[LabelCurves]:
    """Only the tasks where `chosen` [T] is true, with new numbers."""
    places = np.cumsum(chosen) - 1
    found = []
    for curve in curves:
        kept = chosen[curve.rows]
        found.append(
            LabelCurves(
                curve.label,
                curve.old_threshold,
                places[curve.rows[kept]],
                curve.shown[kept],
                curve.old[kept],
                curve.objects[kept],
            )
        )
    return found


def _middle_of_least(losses: Numbers) -> npt.NDArray[np.intp]:
    """Place of the least along the last axis; in the middle of the first stretch where it is so.

    Between two scores all thresholds are alike, and the middle is farthest from both.
    """
    alike = losses <= losses.min(axis=-1, keepdims=True) + _ALIKE
    first = np.argmax(alike, axis=-1)
    places = np.arange(losses.shape[-1])
    behind = ~alike & (places > np.asarray(first)[..., None])
    end = np.where(behind.any(axis=-1), np.argmax(behind, axis=-1), losses.shape[-1])
    middle: npt.NDArray[np.intp] = np.asarray((first + end - 1) // 2)
    return middle
