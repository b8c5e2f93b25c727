"""Detections as instances: one for each label that they become."""

from __future__ import annotations

import numpy as np

from backend.corrections.detected import detected_instances
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.region_plan import RegionPlan, Thresholds, plan_regions
from backend.runtime.detections import Detections, MaskCrop

LABELS = ("person", "car", "dog")
CONFIG = """<View><Image name="image" value="$image"/>
<BrushLabels name="brush" toName="image"><Label value="Car"/></BrushLabels>
<RectangleLabels name="box" toName="image"><Label value="Car"/>
<Label value="human" alias="h" predicted_values="person"/><Label value="person2"
predicted_values="person"/></RectangleLabels></View>"""


def plan(*, has_masks: bool = True) -> RegionPlan:
    thresholds = Thresholds(model=0.9)
    config = parse_label_config(CONFIG)
    return plan_regions(config, "image", LABELS, has_masks=has_masks, thresholds=thresholds)


def found(*labels: int, masks: tuple[MaskCrop, ...] | None = None) -> Detections:
    n = len(labels)
    boxes = np.tile(np.array([2, 3, 12.5, 9], np.float32), (n, 1))
    scores = np.linspace(0.8, 0.1, n, dtype=np.float32) if n else np.zeros(0, np.float32)
    return Detections(40, 30, boxes, scores, np.array(labels, np.int64), masks)


def crop(rows: int, columns: int) -> MaskCrop:
    return MaskCrop(4, 5, np.pad(np.ones((rows, columns), np.bool_), 1))


def test_nothing_found() -> None:
    assert detected_instances(found(), plan(), "image") == []


def test_whatever_the_threshold_and_in_order() -> None:
    instances = detected_instances(found(1, 2, 0, masks=(crop(2, 3),) * 3), plan(), "image", 4)
    assert [each.label for each in instances] == ["Car", "h", "person2"]  # no dog in the config
    assert [round(each.score or 0, 2) for each in instances] == [0.8, 0.1, 0.1]
    frame = instances[0].frame
    assert (frame.to_name, frame.item_index, frame.width, frame.height) == ("image", 4, 40, 30)


def test_the_box_is_that_of_the_mask() -> None:
    (car,) = detected_instances(found(1, masks=(crop(2, 3),)), plan(), "image")
    assert car.box_xyxy_px == (5.0, 6.0, 8.0, 8.0)
    assert car.area_px == 6
    assert car.kind == "polygon"


def test_what_has_no_pixel_is_left_out() -> None:
    assert detected_instances(found(1, masks=(crop(0, 0),)), plan(), "image") == []


def test_of_a_detector_boxes() -> None:
    (car,) = detected_instances(found(1), plan(has_masks=False), "image")
    assert (car.kind, car.mask, car.box_xyxy_px) == ("rectangle", None, (2.0, 3.0, 12.5, 9.0))
