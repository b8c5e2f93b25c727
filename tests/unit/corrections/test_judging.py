"""Which candidates were right, by what people left in the annotation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from corrected import HEIGHT, WIDTH, annotation, brush, polygon, rectangle, task

from backend.config_plan import ConfigPlan, ConfigPlanner
from backend.corrections.history import AnnotatedTask, tasks_of_row
from backend.corrections.tuning.judging import UnjudgedError, judge, thresholds_in_force
from backend.runtime.detections import Detections, MaskCrop
from tests.toy_model import toy_contract

LABELS = ("person", "car", "traffic light")
PERSON, CAR, LIGHT = range(3)
Candidate = tuple[int, float, tuple[int, int, int, int]]  # label, score, x, y, w, h


def plan_of(labels: str, image: str = '<Image name="image" value="$image"/>') -> ConfigPlan:
    controls = "".join(
        f'<{kind}Labels name="{kind.lower()}" toName="image">{labels}</{kind}Labels>'
        for kind in ("Polygon", "Rectangle", "Brush")
    )
    config = f"<View>{image}{controls}</View>"
    return ConfigPlanner(toy_contract(), "0" * 64, "all").plan(config)


PLAIN = plan_of('<Label value="person"/><Label value="car"/>')


def corrected(*result: dict[str, Any]) -> AnnotatedTask:
    (found,) = tasks_of_row(task(7, [annotation(1, *result)], []))
    return found


def found(*candidates: Candidate, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Detections:
    """Best first."""
    boxes = [[x, y, x + w, y + h] for _, _, (x, y, w, h) in candidates]
    return Detections(
        *size,
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in candidates], np.float32),
        np.array([label for label, _, _ in candidates], np.int64),
        tuple(MaskCrop(x, y, np.ones((h, w), np.bool_)) for _, _, (x, y, w, h) in candidates),
    )


def judged(
    annotated: AnnotatedTask, *candidates: Candidate, plan: ConfigPlan = PLAIN
) -> tuple[list[tuple[int, float, float]], list[int]]:
    """Label, score and IoU of each candidate; labels of the objects."""
    image = plan.config.images[0]
    evidence = judge(annotated, [(image, None, found(*candidates))], plan)
    rows = zip(evidence.labels.tolist(), evidence.scores.tolist(), evidence.ious, strict=True)
    return [(a, b, round(float(c), 3)) for a, b, c in rows], sorted(evidence.objects)


def test_nothing_on_either_side() -> None:
    assert judged(corrected()) == ([], [])
    assert judged(corrected(), (CAR, 0.7, (10, 10, 20, 20))) == ([(CAR, 0.7, 0.0)], [])
    assert judged(corrected(polygon("a", 10, 10, 20, 20))) == ([], [CAR])


@pytest.mark.parametrize("draw", [polygon, brush, rectangle])
def test_a_hit_whatever_it_was_drawn_with(draw: Any) -> None:
    rows, objects = judged(corrected(draw("a", 10, 10, 20, 20)), (CAR, 0.7, (10, 10, 20, 16)))
    assert (rows, objects) == ([(CAR, 0.7, 0.8)], [CAR])


def test_an_object_is_hit_once_and_by_its_own_label() -> None:
    rows, objects = judged(
        corrected(polygon("a", 10, 10, 20, 20)),
        (PERSON, 0.9, (10, 10, 20, 20)),
        (CAR, 0.8, (10, 10, 20, 16)),
        (CAR, 0.7, (10, 10, 20, 20)),
    )
    assert [iou for _, _, iou in rows] == [0.0, 0.8, 0.0]
    assert objects == [CAR]


def test_several_controls_show_one_object() -> None:
    two = corrected(polygon("0-0", 10, 10, 20, 20), rectangle("0.1-0", 10, 10, 20, 20))
    assert judged(two, (CAR, 0.7, (10, 10, 20, 20))) == ([(CAR, 0.7, 1.0)], [CAR])


def test_labels_that_the_model_does_not_know_do_not_count() -> None:
    assert judged(corrected(polygon("a", 10, 10, 20, 20, "giraffe"))) == ([], [])
    light = (LIGHT, 0.9, (10, 10, 20, 20))  # a label that the config does not have
    assert judged(corrected(), light) == ([], [])


def test_two_model_labels_that_become_one() -> None:
    plan = plan_of('<Label value="Road user" predicted_values="person,car"/>')
    rows, objects = judged(
        corrected(
            polygon("a", 0, 0, 20, 20, "Road user"),
            polygon("b", 40, 0, 20, 20, "Road user"),
            polygon("c", 80, 0, 20, 20, "Road user"),
        ),
        (CAR, 0.9, (0, 0, 20, 20)),
        (PERSON, 0.8, (0, 0, 20, 20)),
        (PERSON, 0.7, (40, 0, 20, 20)),
        plan=plan,
    )
    assert rows == [(CAR, 0.9, 1.0), (PERSON, 0.8, 0.0), (PERSON, 0.7, 1.0)]
    assert objects == [PERSON, PERSON, CAR]  # what is missed counts for the first


def test_a_label_with_an_alias() -> None:
    plan = plan_of('<Label value="car" alias="c"/>')
    hit = corrected(polygon("a", 10, 10, 20, 20, "c"))
    assert judged(hit, (CAR, 0.7, (10, 10, 20, 20)), plan=plan) == ([(CAR, 0.7, 1.0)], [CAR])


def test_images_of_one_task_are_told_apart() -> None:
    plan = plan_of('<Label value="car"/>', '<Image name="image" valueList="$images"/>')
    hit = corrected(polygon("a", 10, 10, 20, 20, item_index=1))
    image = plan.config.images[0]
    same = found((CAR, 0.7, (10, 10, 20, 20)))
    evidence = judge(hit, [(image, 0, same), (image, 1, same)], plan)
    assert evidence.ious.tolist() == [0.0, 1.0]


@pytest.mark.parametrize(
    ("change", "says"),
    [({"original_width": 50}, "made on 50x50"), ({"image_rotation": 90}, "turned"),
     ({"value": {"points": "x", "polygonlabels": ["car"]}}, "region a")],
)  # fmt: skip
def test_annotations_that_say_nothing(change: dict[str, Any], says: str) -> None:
    with pytest.raises(UnjudgedError, match=says):
        judged(corrected({**polygon("a", 10, 10, 20, 20), **change}))


def test_thresholds_that_can_be_tuned() -> None:
    plan = plan_of('<Label value="person"/><Label value="car" model_score_threshold="0.6"/>')
    in_force = thresholds_in_force(plan, LABELS, None)
    assert (dict(in_force.tunable), in_force.fixed) == ({PERSON: 0.5}, ("car",))
    assert thresholds_in_force(plan, LABELS, 0.4).tunable == {}
    assert thresholds_in_force(plan, LABELS, 0.4).fixed == ("person", "car")
