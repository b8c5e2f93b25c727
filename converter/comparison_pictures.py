"""The images on which two models differ most, with what each found and the truth."""

from __future__ import annotations

from backend.runtime.page.pictures import Drawn
from converter.accuracy import image_ids, truth_side
from converter.compare import MatchedImage, Predictions
from converter.ground_truth import GroundTruth
from converter.pictures import draw_file, panel, truth_panel

_SHOWN_EQUAL = 3


def comparison_pictures(
    predictions: Predictions, truth: GroundTruth | None, most: int
) -> list[Drawn]:
    """At most `most`, worst first; of equal ones a few, as a sample."""
    ordered = sorted(predictions.images, key=_worst_first)
    differing = [each for each in ordered if _differs(each)]
    chosen = (differing or ordered[:_SHOWN_EQUAL])[:most]
    ids = {} if truth is None else image_ids(truth, [each.image.path for each in chosen])
    drawn = []
    for each in chosen:
        panels = [
            panel("A", each.sides[0], predictions.labels, each.matching, first=True),
            panel("B", each.sides[1], predictions.labels, each.matching, first=False),
        ]
        if truth is not None and each.image.path in ids:
            labels = list(predictions.labels)
            side = truth_side(truth, ids[each.image.path], labels)
            panels.append(truth_panel(side, labels))
        drawn.append(draw_file(each.image.path, each.image.path.name, panels))
    return drawn


def _differs(each: MatchedImage) -> bool:
    return each.matching.share < 1 or _overlap(each) < 0.98


def _overlap(each: MatchedImage) -> float:
    values = [p.mask_iou for p in each.matching.pairs if p.mask_iou is not None]
    return sum(values) / len(values) if values else 1.0


def _worst_first(each: MatchedImage) -> tuple[float, float]:
    return each.matching.share, _overlap(each)
