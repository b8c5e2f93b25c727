"""How sure the difference of two models' average precision is, given the images it was measured on.

The images are drawn anew with replacement, the same ones for both models; the spread of the
difference over the draws is the interval. It says what other images of the same kind could give,
not what other kinds would.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from backend.runtime.errors import MeasurementError
from converter.coco_metrics import CategoryHits, Evaluation

_RECALLS = np.linspace(0.0, 1.0, 101)
_IOU_THRESHOLDS = 10
_CELLS = 4_000_000  # of numbers at once, so that large sets do not fill the memory
F64 = npt.NDArray[np.float64]
Figure = Literal["ap", "ap50", "ap75"]
_THRESHOLDS: dict[Figure, slice] = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}


@dataclass(frozen=True)
class Interval:
    """`value`: on the images as they are; `low`, `high`: between them lie `level` of the draws."""

    value: float
    low: float
    high: float
    level: float
    draws: int

    def to_json(self) -> dict[str, float]:
        """By field."""
        return asdict(self)


def difference(
    one: Evaluation,
    other: Evaluation,
    figure: Figure = "ap",
    *,
    draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`other` minus `one`, both measured on the same images. Raises MeasurementError otherwise."""
    return differences(one, other, draws=draws, level=level, seed=seed)[figure]


def differences(
    one: Evaluation, other: Evaluation, *, draws: int = 1000, level: float = 0.95, seed: int = 0
) -> dict[str, Interval]:
    """All figures, from the same draws."""
    if one.image_ids != other.image_ids or one.kind != other.kind:
        raise MeasurementError("two figures of different images or kinds cannot be compared.")
    images = len(one.image_ids)
    chances = np.full(images, 1 / images)
    weights = np.random.default_rng(seed).multinomial(images, chances, size=draws)
    drawn = np.concatenate([np.ones((1, images), np.int64), weights])
    gaps = drawn_average(other, drawn) - drawn_average(one, drawn)
    found: dict[str, Interval] = {}
    for figure, thresholds in _THRESHOLDS.items():
        gap = gaps[:, thresholds].mean(axis=1)
        spread = gap[1:][np.isfinite(gap[1:])]
        if not np.isfinite(gap[0]) or not spread.size:
            raise MeasurementError("the annotated images show no instance that counts.")
        low, high = np.quantile(spread, [(1 - level) / 2, (1 + level) / 2])
        found[figure] = Interval(float(gap[0]), float(low), float(high), level, draws)
    return found


def drawn_average(evaluation: Evaluation, weights: npt.NDArray[np.int64]) -> F64:
    """AP [B, T] of each draw at each IoU threshold; nan where a draw shows no instance.

    `weights` [B, I]: how often each image was drawn.
    """
    total, categories = None, np.zeros((len(weights), 1))
    for hits in evaluation.hits:
        instances = weights @ hits.instances
        present = (instances > 0)[:, None]
        step = max(1, _CELLS // max(1, hits.hit.size))
        values = np.concatenate(
            [
                _category(hits, weights[i : i + step], instances[i : i + step])
                for i in range(0, len(weights), step)
            ]
        )
        counted = np.where(present, values, 0)
        total = counted if total is None else total + counted
        categories += present
    if total is None:
        return np.full((len(weights), _IOU_THRESHOLDS), np.nan)
    nothing = np.full(total.shape, np.nan)
    return np.asarray(np.divide(total, categories, out=nothing, where=categories > 0))


def _category(
    hits: CategoryHits, weights: npt.NDArray[np.int64], instances: npt.NDArray[np.int64]
) -> F64:
    """AP [B, T] of one category, as COCO interpolates it at 101 recalls."""
    if hits.image.size == 0:
        return np.zeros((len(weights), len(hits.hit)))
    times = weights[:, hits.image][:, None]  # [B, 1, D]
    true = np.cumsum(times * hits.hit, axis=2)
    seen = np.cumsum(times * hits.counted, axis=2)
    precision = np.divide(true, seen, out=np.zeros(true.shape), where=seen > 0)
    best_from_here = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    recall = true / np.maximum(instances, 1)[:, None, None]
    reached = np.searchsorted(_RECALLS, recall, side="right")  # recalls up to here
    new = np.diff(reached, axis=2, prepend=0)
    values: F64 = (new * best_from_here).sum(axis=2) / len(_RECALLS)
    return values
