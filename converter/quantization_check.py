"""What quantising cost: agreement with the parent, and average precision where there is truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov

from backend.runtime.contract import ModelContract
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, RawOutputs, decode
from backend.runtime.resize import resize_image
from converter.calibration import Counter, read_photo
from converter.coco_metrics import Kind, evaluate
from converter.ground_truth import GroundTruth, category_ids
from converter.match import Side, match

SHOWN_SCORE = 0.5
LOWEST_PARTNER = 0.25
"""As in the self-test: what is clear in one model must at least be this clear in the other."""


@dataclass(frozen=True)
class Kept:
    """Instances above 0.5, over some images.

    An instance is kept where the other model gives the same label at the same place (IoU 0.5) with
    a score of at least 0.25. `parent_kept` of `parent`: the parent's that the quantised model
    finds; `own_kept` of `own`: the quantised model's that the parent finds.
    """

    images: int = 0
    parent: int = 0
    parent_kept: int = 0
    own: int = 0
    own_kept: int = 0
    mask_ious: tuple[float, ...] = ()

    @property
    def share(self) -> float:
        """Of the instances of both, 0..1; 1 where there are none."""
        both = self.parent + self.own
        return (self.parent_kept + self.own_kept) / both if both else 1.0

    @property
    def mean_mask_iou(self) -> float | None:
        """Of the pairs with masks."""
        return float(np.mean(self.mask_ious)) if self.mask_ious else None


def kept_of(pairs: Iterable[tuple[Detections, Detections]]) -> Kept:
    """`pairs`: an image's detections by the parent, from a score of 0.25 on, and by the other."""
    images = parent = parent_kept = own = own_kept = 0
    ious: list[float] = []
    for before, after in pairs:
        one, other = Side.of_detections(before), Side.of_detections(after)
        matched = match(one, other, LOWEST_PARTNER)
        shown_one = set(np.flatnonzero(one.scores >= SHOWN_SCORE).tolist())
        shown_other = set(np.flatnonzero(other.scores >= SHOWN_SCORE).tolist())
        images += 1
        parent += len(shown_one)
        own += len(shown_other)
        for pair in matched.pairs:
            parent_kept += pair.one in shown_one
            own_kept += pair.other in shown_other
            if pair.one in shown_one and pair.mask_iou is not None:
                ious.append(pair.mask_iou)
    return Kept(images, parent, parent_kept, own, own_kept, tuple(ious))


def detect_all(engine: Engine, photos: Sequence[Path], count: Counter) -> list[Detections]:
    """One for each photo; one that fails ends it all. Raises ImageError or InferenceError."""
    found = []
    for done, photo in enumerate(photos, start=1):
        found.append(engine.detect(read_photo(photo)))
        count(done, len(photos))
    return found


class MaskAp:
    """COCO's mask AP (of boxes, for a detector) on the photos that the annotations know."""

    def __init__(self, truth: GroundTruth, photos: Sequence[Path], contract: ModelContract) -> None:
        """Every photo must be one of the annotations'. Raises MeasurementError for other labels."""
        ids = truth.image_ids_by_name()
        self._photos = tuple(photos)
        self._ids = [ids[photo.name] for photo in photos]
        self._truth = truth
        self._contract = contract
        self._categories = category_ids(contract.labels, truth)

    @property
    def photos(self) -> int:
        """How many there are."""
        return len(self._photos)

    def of(self, found: Mapping[int, Detections]) -> float:
        """AP 0..1. `found`: by position of the photo; 0 where these photos show no instance."""
        truth = self._truth.subset(self._ids[i] for i in found)
        by_id = {self._ids[i]: detections for i, detections in found.items()}
        kind: Kind = "box" if self._contract.mask_frame is None else "mask"
        return evaluate(truth, by_id, self._categories, kind).overall.ap or 0.0

    def of_compiled(
        self, compiled: ov.CompiledModel, chosen: Sequence[int]
    ) -> tuple[float, list[float]]:
        """AP on all chosen photos, and on each alone. Raises as `evaluate`."""
        found = {i: self._detect(compiled, self._photos[i]) for i in chosen}
        return self.of(found), [self.of({i: detections}) for i, detections in found.items()]

    def _detect(self, compiled: ov.CompiledModel, photo: Path) -> Detections:
        tensor, geometry = resize_image(read_photo(photo), self._contract.resize)
        answers = compiled({"image": tensor})
        masks = None
        if self._contract.mask_frame is not None:
            masks = np.array(answers["masks"], np.float32)
        raw = RawOutputs(
            np.array(answers["boxes"], np.float32), np.array(answers["labels"], np.int64), masks
        )
        return decode(raw, geometry, self._contract)
