"""A corrected task, and what the model finds in it -> which candidates were right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from backend.config_plan import ConfigPlan
from backend.corrections.detected import detected_instances
from backend.corrections.history import AnnotatedTask
from backend.corrections.instances import Instance, read_instances
from backend.corrections.matching import overlaps
from backend.corrections.tuning.evidence import TaskEvidence, match_greedily
from backend.labelstudio.label_config import ImageTag
from backend.labelstudio.region_plan import RegionPlan, Target
from backend.runtime.detections import Detections
from backend.runtime.errors import LabelvinoError

Found = Sequence[tuple[ImageTag, int | None, Detections]]
"""Image tag, place in a multi-image task (or None), what the model finds there."""


class UnjudgedError(LabelvinoError):
    """A task that says nothing of the model; the text says why."""


@dataclass(frozen=True)
class ThresholdsInForce:
    """By model label index; `fixed`: names of labels whose thresholds the label config sets."""

    tunable: Mapping[int, float]
    fixed: tuple[str, ...]


def thresholds_in_force(
    plan: ConfigPlan, labels: tuple[str, ...], command_line: float | None
) -> ThresholdsInForce:
    """Which thresholds a tuning can change: those that nothing goes before."""
    tunable: dict[int, float] = {}
    fixed = []
    for index, name in enumerate(labels):
        targets = [t for each in plan.plans.values() for t in each.targets[index]]
        free = [t for t in targets if command_line is None and not _is_fixed(t)]
        if free:
            tunable[index] = free[0].score_threshold  # the same for all of them
        elif targets:
            fixed.append(name)
    return ThresholdsInForce(tunable, tuple(fixed))


def judge(task: AnnotatedTask, found: Found, plan: ConfigPlan) -> TaskEvidence:
    """`found`: down to the lowest score that matters.

    Labels are those of the config while candidates and objects are matched, and the model's after
    that; an object that no candidate hits counts for the first model label that can become it.
    Raises UnjudgedError.
    """
    reading = read_instances(task.result)
    if reading.unread:
        raise UnjudgedError(f"{reading.unread[0]}.")
    labels: list[int] = []
    scores: list[float] = []
    ious: list[float] = []
    objects: list[int] = []
    for tag, item_index, detections in found:
        region_plan = plan.plans[tag.name]
        place = tag.name, item_index or 0
        final = [i for i in reading.instances if (i.frame.to_name, i.frame.item_index) == place]
        _check_size(final, detections)
        candidates = detected_instances(detections, region_plan, *place)
        became = [int(detections.labels[int(c.key.partition(".")[0])]) for c in candidates]
        overlap = overlaps(candidates, final)
        agree = np.array([[c.label == f.label for f in final] for c in candidates], np.bool_)
        # float32 0.7 is a little less than 0.7
        sure = [round(c.score or 0.0, 6) for c in candidates]
        hits = match_greedily(np.array(sure), overlap, agree.reshape(overlap.shape))
        labels += became
        scores += sure
        ious += [float(overlap[i, hit]) if hit >= 0 else 0.0 for i, hit in enumerate(hits)]
        objects += [label for label, hit in zip(became, hits, strict=True) if hit >= 0]
        claimed = _claimed(region_plan)
        missed = [f.label for j, f in enumerate(final) if j not in hits and f.label in claimed]
        objects += [claimed[label] for label in missed]
    return TaskEvidence(
        np.array(labels, np.int64),
        np.array(scores, np.float64),
        np.array(ious, np.float64),
        tuple(objects),
    )


def _is_fixed(target: Target) -> bool:
    return target.tag.score_threshold is not None or target.control.score_threshold is not None


def _claimed(plan: RegionPlan) -> dict[str, int]:
    """Labels of the config -> the first model label that becomes each."""
    claimed: dict[str, int] = {}
    for index, targets in enumerate(plan.targets):
        for target in targets:
            claimed.setdefault(target.tag.written, index)
    return claimed


def _check_size(final: Sequence[Instance], found: Detections) -> None:
    for each in final:
        if (each.frame.width, each.frame.height) != (found.width, found.height):
            raise UnjudgedError(
                f"its image has {found.width}x{found.height} pixels, and the annotation was made "
                f"on {each.frame.width}x{each.frame.height}."
            )
