"""Which instances of two models' answers for one image are the same, and how far they differ.

Filter by score, then pair one to one by label and box IoU. Raw order means nothing: it differs on
near-ties between any two frameworks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.engine import RawOutputs
from backend.runtime.masks import paste_mask
from backend.runtime.overlap import box_ious, mask_iou
from backend.runtime.resize import ResizeGeometry

DEFAULT_MIN_SCORE = 0.5
MIN_IOU = 0.5
SCORE_TIE = 1e-4
"""Scores closer than this are the same: neither side of the floor, and no order, follows."""
# IoUs of one place are compared in these steps, so that of duplicates the nearer score decides.
_IOU_STEP = 1e-3
_NEARBY_IOU = 0.1

F32 = npt.NDArray[np.float32]
Reason = Literal["score", "label", "box", "missing"]


@dataclass(frozen=True, eq=False)
class Side:
    """What one model found in an image, in any order.

    `boxes_xyxy_px` f32 [N, 4] and `masks` (N crops, or None) in pixels of the image; `scores` f32
    [N]; `labels` i64 [N], of a list that both sides share; `raw_masks` f32 [N, h, w]: what the
    crops were made from, where it is at hand.
    """

    boxes_xyxy_px: F32
    scores: F32
    labels: npt.NDArray[np.int64]
    masks: Sequence[MaskCrop] | None = None
    raw_masks: F32 | None = None

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes = (self.boxes_xyxy_px.shape, self.scores.shape, self.labels.shape)
        if shapes != ((n, 4), (n,), (n,)):
            raise ValueError(f"expected boxes [N,4], scores [N], labels [N], but got {shapes}")
        for masks in (self.masks, self.raw_masks):
            if masks is not None and len(masks) != n:
                raise ValueError(f"expected {n} masks, but got {len(masks)}")

    @classmethod
    def of_detections(cls, found: Detections, labels: Sequence[int] | None = None) -> Side:
        """`labels`: the shared list's index of each of the model's own labels; None: the same."""
        renamed = found.labels if labels is None else np.array(labels, np.int64)[found.labels]
        return cls(found.boxes_xyxy_px, found.scores, renamed, found.masks)

    @classmethod
    def of_raw(
        cls, raw: RawOutputs, geometry: ResizeGeometry, frame: Literal["box", "image"] | None
    ) -> Side:
        """What a graph of the contract gave; rows without area and broken rows stay in."""
        boxes = geometry.boxes_to_image(raw.boxes[:, :4])
        masks = None
        if raw.masks is not None and frame is not None:
            masks = [
                paste_mask(raw.masks[i], boxes[i], geometry, frame)
                if np.isfinite(boxes[i]).all()
                else MaskCrop(0, 0, np.zeros((0, 0), np.bool_))
                for i in range(len(boxes))
            ]
        return cls(boxes, raw.boxes[:, 4], raw.labels, masks, raw.masks)

    def __len__(self) -> int:
        return len(self.scores)


@dataclass(frozen=True)
class Pair:
    """Two instances that are the same one: row `one` of one side, row `other` of the other.

    `box_px`: the largest difference of a coordinate; `score`: the absolute difference; `mask_iou`:
    of the binarised masks in the image; `mask`: the largest difference of two raw mask cells. The
    last two are None where there are no such masks.
    """

    one: int
    other: int
    box_iou: float
    box_px: float
    score: float
    mask_iou: float | None = None
    mask: float | None = None


@dataclass(frozen=True)
class Alone:
    """An instance above the floor without a partner, and the nearest thing to one.

    `reason`: 'score', the partner is below the floor; 'label', the same place has another label;
    'box', the same label is near, with too small an IoU or another partner; 'missing', none of
    these. `partner`: row of the other side, if any.
    """

    row: int
    reason: Reason
    partner: int | None = None


@dataclass(frozen=True)
class Matching:
    """One image. `flat`: rows above the floor without area; `broken`: rows with numbers that are
    not finite; both for (one, other), and neither is matched."""

    pairs: tuple[Pair, ...] = ()
    only_one: tuple[Alone, ...] = ()
    only_other: tuple[Alone, ...] = ()
    flat: tuple[int, int] = (0, 0)
    broken: tuple[int, int] = (0, 0)

    @property
    def share(self) -> float:
        """Matched instances among all of both sides, 0..1; nothing on both sides is 1."""
        alone = len(self.only_one) + len(self.only_other)
        both = 2 * len(self.pairs)
        return both / (both + alone) if both + alone else 1.0


def match(
    one: Side, other: Side, min_score: float = DEFAULT_MIN_SCORE, min_iou: float = MIN_IOU
) -> Matching:
    """Pair the instances with a score of at least `min_score`, best IoU first, of one label each.

    A pair needs one score above the floor; the other may lie below by less than SCORE_TIE.
    """
    sound_one, sound_other = _sound(one), _sound(other)
    ious = box_ious(one.boxes_xyxy_px, other.boxes_xyxy_px)
    ious[~sound_one] = 0
    ious[:, ~sound_other] = 0
    near = (one.scores >= min_score - SCORE_TIE)[:, None] & (other.scores >= min_score - SCORE_TIE)
    above = (one.scores >= min_score)[:, None] | (other.scores >= min_score)
    same = one.labels[:, None] == other.labels
    chosen = _one_to_one(np.where(same & near & above, ious, 0), one.scores, other.scores, min_iou)
    taken_one, taken_other = {i for i, _ in chosen}, {j for _, j in chosen}
    wanted_one, wanted_other = (
        sound & (side.scores >= min_score)
        for sound, side in ((sound_one, one), (sound_other, other))
    )
    alone_one = [i for i in np.flatnonzero(wanted_one).tolist() if i not in taken_one]
    alone_other = [j for j in np.flatnonzero(wanted_other).tolist() if j not in taken_other]
    return Matching(
        pairs=tuple(_pair(one, other, i, j, float(ious[i, j])) for i, j in chosen),
        only_one=tuple(_explain(i, ious[i], same[i], wanted_other, min_iou) for i in alone_one),
        only_other=tuple(
            _explain(j, ious[:, j], same[:, j], wanted_one, min_iou) for j in alone_other
        ),
        flat=(_flat(one, min_score), _flat(other, min_score)),
        broken=(int(np.sum(~_finite(one))), int(np.sum(~_finite(other)))),
    )


def _one_to_one(
    ious: npt.NDArray[np.float64], scores_one: F32, scores_other: F32, min_iou: float
) -> list[tuple[int, int]]:
    """Pairs of rows, best IoU first; of equal ones the nearer score wins."""
    candidates = [
        (-round(float(ious[i, j]) / _IOU_STEP), abs(float(scores_one[i] - scores_other[j])), i, j)
        for i, j in np.argwhere(ious >= min_iou).tolist()
    ]
    left: set[int] = set()
    right: set[int] = set()
    chosen = []
    for _, _, i, j in sorted(candidates):
        if i not in left and j not in right:
            left.add(i)
            right.add(j)
            chosen.append((i, j))
    return sorted(chosen)


def _pair(one: Side, other: Side, i: int, j: int, iou: float) -> Pair:
    masks = raw = None
    if one.masks is not None and other.masks is not None:
        masks = mask_iou(one.masks[i], other.masks[j])
    if one.raw_masks is not None and other.raw_masks is not None:
        a, b = one.raw_masks[i], other.raw_masks[j]
        raw = float(np.abs(a - b).max()) if a.shape == b.shape and a.size else None
    return Pair(
        one=i,
        other=j,
        box_iou=iou,
        box_px=float(np.abs(one.boxes_xyxy_px[i] - other.boxes_xyxy_px[j]).max()),
        score=abs(float(one.scores[i] - other.scores[j])),
        mask_iou=masks,
        mask=raw,
    )


def _explain(
    row: int,
    ious: npt.NDArray[np.float64],
    same: npt.NDArray[np.bool_],
    above: npt.NDArray[np.bool_],
    min_iou: float,
) -> Alone:
    """`ious`, `same` label, `above` the floor: of each row of the other side."""
    below = np.where(same & ~above, ious, 0)
    labelled = np.where(~same & above, ious, 0)
    near = np.where(same & above, ious, 0)
    # The better overlap tells whether a score fell or a label changed.
    reason: Reason = "score" if below.max(initial=0) >= labelled.max(initial=0) else "label"
    best = below if reason == "score" else labelled
    if best.max(initial=0) >= min_iou:
        return Alone(row, reason, int(best.argmax()))
    if near.max(initial=0) >= _NEARBY_IOU:
        return Alone(row, "box", int(near.argmax()))
    return Alone(row, "missing")


def _finite(side: Side) -> npt.NDArray[np.bool_]:
    return np.asarray(np.isfinite(side.boxes_xyxy_px).all(axis=1) & np.isfinite(side.scores))


def _has_area(side: Side) -> npt.NDArray[np.bool_]:
    boxes = side.boxes_xyxy_px
    return np.asarray((boxes[:, 2:] > boxes[:, :2]).all(axis=1))


def _sound(side: Side) -> npt.NDArray[np.bool_]:
    return _finite(side) & _has_area(side)


def _flat(side: Side, min_score: float) -> int:
    return int(np.sum(_finite(side) & ~_has_area(side) & (side.scores >= min_score)))
