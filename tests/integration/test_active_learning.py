"""Sorted by their scores, upwards, the top of a list of tasks holds more corrections than chance.

For the strategies of which docs/configuration.md says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.region_plan import RegionPlan, Thresholds, plan_regions
from backend.labelstudio.regions import ScoreStrategy, certainties, prediction_score
from backend.runtime.coco_rle import encode_coco
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.overlay import label_colours

THRESHOLD = 0.5


def region_plan(labels: tuple[str, ...]) -> RegionPlan:
    xml = write_label_config(labels, ("rectangle",), label_colours(labels))
    thresholds = Thresholds(model=THRESHOLD)
    return plan_regions(
        parse_label_config(xml), "image", labels, has_masks=True, thresholds=thresholds
    )


def task_score(strategy: ScoreStrategy, found: Detections, plan: RegionPlan) -> float:
    shown = found.above(THRESHOLD).scores.tolist()
    return prediction_score(strategy, shown, certainties(found, plan))


def p_of_top_third(scores: Sequence[float], corrections: Sequence[int]) -> float:
    """How often a third of the tasks drawn by chance holds as many corrections as the top one."""
    held = np.array(corrections)
    third = len(held) // 3
    top = held[np.lexsort((np.arange(len(held)), scores))[:third]].sum()
    numbers = np.random.default_rng(0)
    chance = [held[numbers.permutation(len(held))[:third]].sum() for _ in range(4000)]
    return float((1 + (np.array(chance) >= top).sum()) / (1 + len(chance)))


def corrections_of(found: Detections, names: Sequence[str], coco: COCO, image_id: int) -> int:
    """What an annotator who draws the truth has to delete, add, relabel or reshape (IoU < 0.75)."""
    truth = [a for a in coco.loadAnns(coco.getAnnIds(image_id)) if not a["iscrowd"]]
    shown = found.above(THRESHOLD)
    assert shown.masks is not None
    drawn = [encode_coco(mask, shown.width, shown.height) for mask in shown.masks]
    kept = good = 0
    if drawn and truth:
        rles = [coco.annToRLE(a) for a in truth]
        ious = np.array(coco_mask.iou(drawn, rles, [0] * len(rles)))
        while ious.max() >= 0.5:  # one to one, best first
            i, j = np.unravel_index(int(ious.argmax()), ious.shape)
            label = coco.cats[truth[j]["category_id"]]["name"]
            good += ious[i, j] >= 0.75 and names[shown.labels[i]] == label
            kept += 1
            ious[i], ious[:, j] = 0, 0
    return len(drawn) + len(truth) - kept - int(good)


def calibrated_tasks(numbers: np.random.Generator, count: int) -> list[tuple[Detections, int]]:
    """Detections of which each is real with the probability that its score says."""
    tasks = []
    for _ in range(count):
        n = numbers.poisson(6)
        scores = np.sort(numbers.beta(0.5, 0.5, n))[::-1].astype(np.float32)
        real = numbers.random(n) < scores
        boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (n, 1))
        found = Detections(10, 10, boxes, scores, np.zeros(n, np.int64), None)
        tasks.append((found, int(((scores >= THRESHOLD) != real).sum())))
    return tasks


def test_chance_is_not_beaten_by_an_order_that_knows_nothing() -> None:
    numbers = np.random.default_rng(5)
    tasks = calibrated_tasks(numbers, 300)
    assert p_of_top_third(numbers.random(300).tolist(), [n for _, n in tasks]) > 0.05
    assert p_of_top_third([0.0, 0.0, 0.0], [1, 1, 1]) == 1.0


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("strategy", ["margin", "agreement"])
def test_where_scores_are_probabilities(strategy: ScoreStrategy, seed: int) -> None:
    plan = region_plan(("thing",))
    tasks = calibrated_tasks(np.random.default_rng(seed), 300)
    scores = [task_score(strategy, found, plan) for found, _ in tasks]
    assert p_of_top_third(scores, [n for _, n in tasks]) < 0.01


@pytest.mark.parametrize(("strategy", "most"), [("min", 0.05), ("agreement", 0.001)])
def test_on_photos(
    strategy: ScoreStrategy,
    most: float,
    photo_engine: Engine,
    photo_detections: dict[int, Detections],
    instances_json: Path,
) -> None:
    coco = COCO(str(instances_json))
    names = photo_engine.contract.label_names
    plan = region_plan(names)
    scores = [task_score(strategy, found, plan) for found in photo_detections.values()]
    corrections = [corrections_of(found, names, coco, i) for i, found in photo_detections.items()]
    assert p_of_top_third(scores, corrections) < most
