"""Thresholds that cost annotators least, from corrected tasks; nothing where no gain is shown.

1. All labels together have one threshold that is best. Where it does better on tasks that were not
   looked at when it was chosen, and the interval of the gain has no zero in it, it becomes the
   threshold of all labels; else all keep theirs.
2. Each label with enough examples has a best threshold of its own. It is drawn towards that of all
   labels, as if some further examples of an average label had been seen, and must pass the same
   test against step 1, with an interval that is the wider the more labels are tested.
3. What to expect: the whole of it is repeated without a part of the tasks, and measured there.

Intervals come from drawing tasks anew (bootstrap), since the regions of an image go together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal, NamedTuple

import numpy as np

from backend.corrections.tuning.effort import FALSE, CostModel, Loss, Numbers, Objective
from backend.corrections.tuning.evidence import GRID, LabelCurves, TaskEvidence, label_curves
from backend.corrections.tuning.resampling import Interval, Resampling
from backend.corrections.tuning.sample import Sample, within

Verdict = Literal["changed", "kept", "too few"]


@dataclass(frozen=True)
class TuningOptions:
    """How thresholds are chosen.

    least_tasks     with fewer corrected tasks nothing is proposed
    least_examples  a label with fewer (objects, and false positives shown) goes with all labels
    prior_examples  of an average label, that are added to those of each label
    folds, repeats  of the cross-validation over tasks
    draws           of the bootstrap
    confidence      of all intervals
    """

    objective: Objective = "effort"
    costs: CostModel = field(default_factory=CostModel)
    least_tasks: int = 20
    least_examples: int = 20
    prior_examples: float = 20.0
    folds: int = 5
    repeats: int = 4
    draws: int = 1000
    confidence: float = 0.95
    seed: int = 0

    @property
    def loss(self) -> Loss:
        return Loss(self.objective, self.costs)

    @property
    def tail(self) -> float:
        """What an interval leaves out at either end."""
        return (1 - self.confidence) / 2


class Counts(NamedTuple):
    """Of shown predictions: hits, those of them that must be reshaped, false positives."""

    hit: int
    poor: int
    false: int


@dataclass(frozen=True)
class LabelTuning:
    """What was found for one model label.

    threshold   the new one; the old one where nothing is changed
    best        the best of its own, drawn towards that of all labels, with its interval
    gain        against step 1: on tasks that were not looked at, between bounds that hold for all
                thresholds and labels at once; a loss is negative; None with too few examples
    before, now counts at the old and the new threshold
    """

    label: int
    old_threshold: float
    threshold: float
    verdict: Verdict
    examples: int
    objects: int
    before: Counts
    now: Counts
    best: Interval | None = None
    gain: Interval | None = None


@dataclass(frozen=True)
class Tuning:
    """What is proposed, and what it should bring.

    pooled        the best threshold of all labels together, with its interval
    pooled_gain   of it alone, on tasks that were not looked at
    pooled_taken  whether labels without one of their own get it
    effect        of the whole proposal on tasks that were not looked at; `loss_before` is what it
                  counts from. Effort: seconds a task; f1: points of 1
    """

    tasks: int
    labels: tuple[LabelTuning, ...] = ()
    pooled: Interval | None = None
    pooled_gain: Interval | None = None
    pooled_taken: bool = False
    loss_before: float = 0.0
    effect: Interval | None = None

    @property
    def changes(self) -> dict[int, float]:
        """New thresholds by model label, where they differ from the old ones."""
        return {f.label: f.threshold for f in self.labels if f.threshold != f.old_threshold}

    @property
    def is_worth_it(self) -> bool:
        """Whether there is something to store, and tasks that were not looked at gain by it."""
        return bool(self.changes) and self.effect is not None and self.effect.middle > 0


def tune(tasks: Sequence[TaskEvidence], old: Mapping[int, float], options: TuningOptions) -> Tuning:
    """Look for better thresholds of the labels in `old` (model label -> threshold in force).

    The same tasks in the same order, with the same options, give the same result.
    """
    curves = [
        label_curves(tasks, label, threshold, options.costs.reshape_below)
        for label, threshold in sorted(old.items())
    ]
    number = len(tasks)
    if number < max(options.least_tasks, options.folds):
        return Tuning(number, tuple(_finding(curve, None, "too few") for curve in curves))
    sample = _sample(curves, number, options, options.seed)
    choice = _choose(sample, options)
    findings = []
    for curve in curves:
        place = choice.places.get(curve.label, choice.pooled_place)
        gain = choice.gains.get(curve.label)
        best = None if gain is None else sample.best_interval(curve, options.tail)
        findings.append(_finding(curve, place, choice.verdict(curve), best, gain))
    pool = sample.pool
    loss_before = float(sample.loss.of(pool.old.sum(0), pool.objects.sum())) / sample.scale
    return Tuning(
        number,
        tuple(findings),
        sample.best_interval(pool, options.tail),
        choice.pooled_gain,
        choice.pooled_place is not None,
        loss_before,
        _effect(sample, options),
    )


@dataclass(frozen=True)
class _Choice:
    """Steps 1 and 2 with some tasks.

    pooled_place  in GRID, of the threshold of all labels; None where all keep theirs
    places        in GRID, of the labels with one of their own
    gains         of the labels that were tested
    """

    pooled_place: int | None
    pooled_gain: Interval
    places: Mapping[int, int]
    gains: Mapping[int, Interval]

    def verdict(self, curve: LabelCurves) -> Verdict:
        if curve.label in self.places:
            return "changed"
        return "kept" if curve.label in self.gains else "too few"


def _sample(curves: Sequence[LabelCurves], tasks: int, options: TuningOptions, seed: int) -> Sample:
    chance = Resampling.of(tasks, options.folds, options.repeats, options.draws, seed)
    return Sample.of(curves, chance, options.loss, options.prior_examples)


def _choose(sample: Sample, options: TuningOptions) -> _Choice:
    pool = sample.pool
    (pooled_gain,) = _tested(sample, [(pool, pool.old)], options)
    pooled_place = sample.best(pool) if _is_gain(pooled_gain) else None
    enough = [curve for curve in sample.curves if _examples(curve) >= options.least_examples]
    bases = [(curve, _counts(curve, pooled_place)) for curve in enough]
    gains = dict(zip((c.label for c in enough), _tested(sample, bases, options), strict=True))
    places = {c.label: sample.best(c) for c in enough if _is_gain(gains[c.label])}
    return _Choice(pooled_place, pooled_gain, places, gains)


def _tested(
    sample: Sample, bases: Sequence[tuple[LabelCurves, Numbers]], options: TuningOptions
) -> list[Interval]:
    """The gain of each curve's best threshold against the counts beside it.

    The intervals hold for all thresholds of all curves at once: the best of many is good by chance,
    too.
    """
    if not bases:
        return []
    gains = [sample.gains(curve, base) for curve, base in bases]
    farthest = np.max([gain.farthest for gain in gains], axis=0)
    # Half of what may be wrong for all labels together, half for those with one of their own.
    spreads = float(np.quantile(farthest, 1 - options.tail / 2))
    found = []
    for gain, (curve, base) in zip(gains, bases, strict=True):
        held_out = sample.gain(curve, base, sample.held_out(curve), options.tail).middle
        found.append(gain.at(sample.best(curve), spreads, held_out))
    return found


def _is_gain(gain: Interval) -> bool:
    return gain.low > 0 and gain.middle > 0


def _effect(sample: Sample, options: TuningOptions) -> Interval:
    """What the whole of it brings on tasks that it has not seen: it is done without each fold."""
    found = np.zeros_like(sample.pool.old)
    for number, fold in enumerate(islice(sample.chance.folds(), options.folds)):
        seen = fold == 0
        rest = within(sample.curves, seen)
        choice = _choose(
            _sample(rest, int(seen.sum()), options, options.seed + 1 + number), options
        )
        for curve in sample.curves:
            place = choice.places.get(curve.label, choice.pooled_place)
            found[curve.rows] += fold[curve.rows][:, None] * _counts(curve, place)
    return sample.gain(sample.pool, sample.pool.old, found, options.tail)


def _counts(curve: LabelCurves, place: int | None) -> Numbers:
    """Counts [R, 3] at a place in GRID; None: at the old threshold."""
    return curve.old if place is None else curve.shown[:, :, place]


def _examples(curve: LabelCurves) -> int:
    return int(curve.objects.sum() + curve.old[:, FALSE].sum())


def _finding(
    curve: LabelCurves,
    place: int | None,
    verdict: Verdict,
    best: Interval | None = None,
    gain: Interval | None = None,
) -> LabelTuning:
    before, now = _counts(curve, None).sum(0), _counts(curve, place).sum(0)
    return LabelTuning(
        curve.label,
        curve.old_threshold,
        curve.old_threshold if place is None else float(GRID[place]),
        verdict,
        _examples(curve),
        int(curve.objects.sum()),
        Counts(*map(int, before)),
        Counts(*map(int, now)),
        best,
        gain,
    )
