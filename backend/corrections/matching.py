"""Which predicted instance became which instance of the final annotation, and how.

Region ids first, since Label Studio keeps those of regions that come from a prediction; then
overlap within a label, so that a polygon redrawn with the brush is found again; then overlap
across labels, for what was relabelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from backend.corrections.instances import Instance, View
from backend.corrections.regions import Frame
from backend.runtime.overlap import box_ious, mask_iou, near_boxes

Fate = Literal["kept", "reshaped", "relabelled", "deleted", "added"]
FATES: tuple[Fate, ...] = ("kept", "reshaped", "relabelled", "deleted", "added")
MIN_IOU = 0.5
"""From which on two instances with different ids are the same one."""
KEPT_IOU = 0.999
"""From which on an instance counts as unchanged: nobody sees a difference that small.

Pixels decide and not the region's origin, since Label Studio 1.23.2 leaves it "prediction" where a
polygon was moved.
"""


_TOUCHING = float(np.finfo(np.float64).tiny)  # any IoU above 0


@dataclass(frozen=True, eq=False)
class Pair:
    """What became of one instance. At least one side is there.

    iou      of predicted and final, None where one is missing: masks where both have one, else
             boxes; of several controls the least
    by_id    they share a region id, else they were found by overlap
    """

    predicted: Instance | None
    final: Instance | None
    iou: float | None = None
    by_id: bool = False

    @property
    def fate(self) -> Fate:
        if self.predicted is None:
            return "added"
        if self.final is None:
            return "deleted"
        if self.predicted.label != self.final.label:
            return "relabelled"
        return "reshaped" if self.is_reshaped else "kept"

    @property
    def is_reshaped(self) -> bool:
        """Whether pixels changed, whatever the label."""
        return self.iou is not None and self.iou < KEPT_IOU

    def is_right(self, min_iou: float) -> bool:
        """Whether the prediction was right: its label stayed, and its shape to that IoU."""
        return (
            self.predicted is not None
            and self.final is not None
            and self.predicted.label == self.final.label
            and (self.iou or 0.0) >= min_iou
        )

    @property
    def label(self) -> str:
        """The final label, or the predicted one where the instance was deleted."""
        instance = self.final or self.predicted
        return instance.label if instance is not None else ""

    @property
    def frame(self) -> Frame:
        instance = self.final or self.predicted
        assert instance is not None  # noqa: S101
        return instance.frame


@dataclass(frozen=True, eq=False)
class Matching:
    """All instances of both sides, each in exactly one pair: predicted ones in their order, then
    those that were added."""

    pairs: tuple[Pair, ...]

    def of(self, *fates: Fate) -> tuple[Pair, ...]:
        return tuple(pair for pair in self.pairs if pair.fate in fates)

    @cached_property
    def counts(self) -> dict[Fate, int]:
        """Of every fate."""
        found = [pair.fate for pair in self.pairs]
        return {fate: found.count(fate) for fate in FATES}


def match_instances(
    predicted: Sequence[Instance],
    final: Sequence[Instance],
    *,
    same_ids: bool = True,
    min_iou: float = MIN_IOU,
) -> Matching:
    """Pair the instances of a task one to one; only those on the same image can be a pair.

    `same_ids`: the annotation began with this prediction, so that equal ids mean something.
    """
    ious = overlaps(predicted, final)
    partner: dict[int, tuple[int, bool]] = {}
    taken: set[int] = set()

    def pair_up(candidates: Iterable[tuple[int, int]], *, by_id: bool) -> None:
        ordered = sorted(candidates, key=lambda ij: (-ious[ij], ij))
        for i, j in ordered:
            if i not in partner and j not in taken:
                partner[i] = j, by_id
                taken.add(j)

    def labels_agree(i: int, j: int) -> bool:
        return predicted[i].label == final[j].label

    if same_ids:
        shared = _sharing_an_id(predicted, final)
        pair_up((ij for ij in shared if labels_agree(*ij)), by_id=True)
        pair_up(shared, by_id=True)
    near = [(i, j) for i, j in np.argwhere(ious >= min_iou).tolist()]
    pair_up((ij for ij in near if labels_agree(*ij)), by_id=False)
    pair_up(near, by_id=False)
    pairs = []
    for i, instance in enumerate(predicted):
        if i in partner:
            j, by_id = partner[i]
            pairs.append(Pair(instance, final[j], float(ious[i, j]), by_id))
        else:
            pairs.append(Pair(instance, None))
    pairs += [Pair(None, each) for j, each in enumerate(final) if j not in taken]
    return Matching(tuple(pairs))


def overlaps(one: Sequence[Instance], other: Sequence[Instance]) -> np.ndarray:
    """IoU f64 [N, M] of instances, as `instance_iou` has it; 0 on different images."""
    ious = np.zeros((len(one), len(other)))
    if not ious.size:
        return ious
    for i, j, _ in near_boxes(_reach(one), _reach(other), _TOUCHING):
        ious[i, j] = instance_iou(one[i], other[j])
    return ious


def instance_iou(one: Instance, other: Instance) -> float:
    """Of masks where both have one, else of boxes; 0 on different images.

    Where both are drawn with several controls, the least counts: of each kind that both have, and
    of their masks, whatever tool they were drawn with.
    """
    if one.frame != other.frame:
        return 0.0
    by_kind = {view.kind: view for view in other.views}
    both = [(view, by_kind[view.kind]) for view in one.views if view.kind in by_kind]
    if not any(view.mask is not None for view, _ in both) and one.has_mask and other.has_mask:
        both.append((one.main, other.main))
    return min(_view_iou(a, b) for a, b in both or [(one.main, other.main)])


def _view_iou(one: View, other: View) -> float:
    if one.mask is not None and other.mask is not None:
        # Two without a pixel are the same only where they are at the same place.
        if not one.mask.area and not other.mask.area:
            return float(one.box_xyxy_px == other.box_xyxy_px)
        return mask_iou(one.mask, other.mask)
    boxes = [np.array([view.box_xyxy_px]) for view in (one, other)]
    return float(box_ious(*boxes)[0, 0])


def _reach(instances: Sequence[Instance]) -> np.ndarray:
    """A box around all views of each instance, f64 [N, 4]."""
    boxes = [np.array([view.box_xyxy_px for view in each.views]) for each in instances]
    return np.array([[*b[:, :2].min(axis=0), *b[:, 2:].max(axis=0)] for b in boxes])


def _sharing_an_id(
    predicted: Sequence[Instance], final: Sequence[Instance]
) -> list[tuple[int, int]]:
    places: dict[tuple[Frame, str], list[int]] = {}
    for j, other in enumerate(final):
        for region_id in other.region_ids:
            places.setdefault((other.frame, region_id), []).append(j)
    found = {
        (i, j): None
        for i, one in enumerate(predicted)
        for region_id in one.region_ids
        for j in places.get((one.frame, region_id), ())
    }
    return list(found)
