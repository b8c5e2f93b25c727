"""What counts as kept."""

from __future__ import annotations

import numpy as np

from backend.runtime.detections import Detections, MaskCrop
from converter.quantization_check import Kept, kept_of

Row = tuple[float, float, int]  # left edge, score, label


def detections(*rows: Row) -> Detections:
    """Boxes and masks of 10 x 10 pixels."""
    ordered = sorted(rows, key=lambda row: -row[1])
    return Detections(
        100,
        100,
        np.array([[x, 0, x + 10, 10] for x, _, _ in ordered], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in ordered], np.float32),
        np.array([label for *_, label in ordered], np.int64),
        tuple(MaskCrop(int(x), 0, np.ones((10, 10), np.bool_)) for x, _, _ in ordered),
    )


def test_nothing() -> None:
    assert kept_of([]) == Kept()
    assert kept_of([(detections(), detections())]).share == 1.0


def test_all_lost_and_all_invented() -> None:
    car = detections((0, 0.9, 1))
    assert kept_of([(car, detections())]).share == 0.0
    assert kept_of([(detections(), car)]).share == 0.0


def test_a_partner_may_be_less_clear_but_not_gone() -> None:
    before = detections((0, 0.6, 1), (20, 0.6, 1), (40, 0.4, 1))
    after = detections((0, 0.3, 1), (20, 0.2, 1), (40, 0.7, 1))
    kept = kept_of([(before, after)])
    assert (kept.parent, kept.parent_kept) == (2, 1)
    assert (kept.own, kept.own_kept) == (1, 1)
    assert kept.share == 2 / 3


def test_another_label_or_place_is_no_partner() -> None:
    before = detections((0, 0.9, 1), (20, 0.9, 1))
    after = detections((0, 0.9, 2), (28, 0.9, 1))
    assert kept_of([(before, after)]).share == 0.0


def test_masks_of_pairs() -> None:
    before = detections((0, 0.9, 1))
    after = detections((2, 0.9, 1))
    kept = kept_of([(before, after), (before, before)])
    assert kept.images == 2
    assert kept.mask_ious == (80 / 120, 1.0)
    assert kept.mean_mask_iou == (80 / 120 + 1.0) / 2
