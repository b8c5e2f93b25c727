"""Where a model and the annotations of an image contradict each other."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from backend.corrections.instances import Instance
from backend.corrections.matching import MIN_IOU, instance_iou, overlaps
from backend.runtime.detections import MaskCrop
from backend.runtime.rasterise import union

FindingKind = Literal["missing", "spurious", "mislabelled"]
KINDS: tuple[FindingKind, ...] = ("missing", "spurious", "mislabelled")
_SEEN_IOU = 0.1  # with a detection of any label; below it the model sees nothing there
_COVERED = 0.5  # share of a detection that annotations of its label cover: a part of them


@dataclass(frozen=True, eq=False)
class Finding:
    """A doubt about one object.

    missing      the model sees `seen`, and nothing is annotated there
    spurious     `annotated`, and the model sees nothing there, whatever the score
    mislabelled  both, with different labels

    confidence   0..1: of a missing one the model's score; of a mislabelled one, by how much the
                 score of the model's label is above that of the annotated label there; of a
                 spurious one the share of such objects that the model does see (`overlooked`)
    """

    kind: FindingKind
    confidence: float
    seen: Instance | None
    annotated: Instance | None

    @property
    def instance(self) -> Instance:
        """What is annotated, else what is missing."""
        instance = self.annotated or self.seen
        assert instance is not None  # noqa: S101
        return instance

    @property
    def label(self) -> str:
        """The label in doubt: the annotated one, of a missing one the model's."""
        return self.instance.label


@dataclass(frozen=True, eq=False)
class ImageReview:
    """`findings`: missing and mislabelled; `seen`: annotated instances whose label the model knows,
    and whether it sees anything there."""

    findings: tuple[Finding, ...]
    seen: tuple[tuple[Instance, bool], ...]


def review_image(
    detected: Sequence[Instance],
    annotated: Sequence[Instance],
    known: Collection[str],
    min_confidence: float,
) -> ImageReview:
    """Compare one image's detections, down to the lowest score, with its annotated instances.

    `detected`: descending scores; `known`: labels that the model can give. What is annotated with
    another label is not judged, and nothing is missing where it lies.
    """
    # Of several controls the one that stands for the instance: it is what people corrected.
    ious = overlaps(detected, [replace(each, views=(each.main,)) for each in annotated])
    scores = np.array([each.score or 0.0 for each in detected])
    findings = _missing(detected, annotated, ious, min_confidence)
    seen = []
    for j, instance in enumerate(annotated):
        if instance.label not in known:
            continue
        there = ious[:, j]
        seen.append((instance, bool((there >= _SEEN_IOU).any())))
        same = np.array([each.label == instance.label for each in detected], np.bool_)
        on_it = there >= MIN_IOU
        own = float(scores[on_it & same].max(initial=0.0))
        others = np.flatnonzero(on_it & ~same)
        if others.size:
            best = int(others[np.argmax(scores[others])])
            margin = float(scores[best]) - own
            if margin >= min_confidence:
                findings.append(Finding("mislabelled", margin, detected[best], instance))
    return ImageReview(tuple(findings), tuple(seen))


def _missing(
    detected: Sequence[Instance],
    annotated: Sequence[Instance],
    ious: np.ndarray,
    min_confidence: float,
) -> list[Finding]:
    found: list[Finding] = []
    by_label: dict[str, MaskCrop] = {}
    for i, instance in enumerate(detected):
        score = instance.score or 0.0
        if score < min_confidence:
            break
        if ious[i].max(initial=0.0) >= MIN_IOU:
            continue
        if instance.label not in by_label:
            drawn = [a.mask for a in annotated if a.label == instance.label and a.mask is not None]
            by_label[instance.label] = union(drawn)
        # Of one object that the model sees twice, also with two labels, the better one counts.
        is_known = _share_within(instance, by_label[instance.label]) >= _COVERED or any(
            each.seen is not None and instance_iou(each.seen, instance) >= MIN_IOU for each in found
        )
        if not is_known:
            found.append(Finding("missing", score, instance, None))
    return found


def _share_within(instance: Instance, area: MaskCrop) -> float:
    """How much of an instance's mask lies within an area; 0 without a mask."""
    mask = instance.mask
    if mask is None or not mask.pixels.size or not area.pixels.size:
        return 0.0
    left, top = max(mask.x, area.x), max(mask.y, area.y)
    right = min(mask.x + mask.pixels.shape[1], area.x + area.pixels.shape[1])
    bottom = min(mask.y + mask.pixels.shape[0], area.y + area.pixels.shape[0])
    if left >= right or top >= bottom:
        return 0.0
    one, other = (
        m.pixels[top - m.y : bottom - m.y, left - m.x : right - m.x] for m in (mask, area)
    )
    return float(np.count_nonzero(one & other) / mask.area)
