"""Regions -> instances."""

from __future__ import annotations

import numpy as np
import pytest
from corrected import HEIGHT, WIDTH, Row, brush, polygon, rectangle, region

from backend.corrections.instances import Instance, read_instances
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.region_plan import Thresholds, plan_regions
from backend.labelstudio.regions import RegionOptions, build_regions
from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.polygons import PolygonDetail


def one(*result: Row) -> Instance:
    (instance,) = read_instances(result).instances
    return instance


def test_nothing_gives_nothing() -> None:
    assert read_instances([]).instances == ()
    assert read_instances([]).unread == ()


@pytest.mark.parametrize("draw", [polygon, brush])
def test_masks_are_exact(draw: object) -> None:
    found = one(draw("a", 10, 5, 20, 8, score=0.75))  # type: ignore[operator]
    assert found.mask is not None
    assert (found.mask.x, found.mask.y, found.mask.pixels.shape) == (10, 5, (8, 20))
    assert found.mask.pixels.all()
    assert found.box_xyxy_px == (10, 5, 30, 13)
    assert (found.label, found.score, found.key, found.origin) == ("car", 0.75, "a", "")
    assert (found.frame.width, found.frame.height) == (WIDTH, HEIGHT)


def test_a_rectangle_is_a_box_between_pixels() -> None:
    found = one(rectangle("a", 10.25, 5.5, 20, 8))
    assert (found.kind, found.mask) == ("rectangle", None)
    assert found.box_xyxy_px == pytest.approx((10.25, 5.5, 30.25, 13.5))
    assert found.area_px == pytest.approx(160)


def test_a_turned_rectangle_has_the_box_around_its_corners() -> None:
    turned = rectangle("a", 50, 10, 20, 8)
    turned["value"]["rotation"] = 90
    assert one(turned).box_xyxy_px == pytest.approx((42, 10, 50, 30))


def test_an_ellipse_is_a_mask() -> None:
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 0}
    found = one(region("a", "ellipse", "car", value))
    assert found.kind == "ellipse"
    assert found.area_px == pytest.approx(np.pi * 10 * 10, rel=0.02)


def test_parts_of_our_predictions_are_one_instance() -> None:
    parts = [
        polygon("3-0", 0, 0, 10, 10, score=0.5),
        polygon("3-1", 20, 0, 5, 10, score=0.5),
        polygon("4-0", 40, 0, 5, 5, score=0.5),
    ]
    three, four = read_instances(parts).instances
    assert (three.key, three.region_ids, three.area_px) == ("3", ("3-0", "3-1"), 150)
    assert three.box_xyxy_px == (0, 0, 25, 10)
    assert (four.key, four.area_px) == ("4", 25)


def test_parts_of_an_answer_to_a_prompt_are_one_instance() -> None:
    parts = [polygon("0a1b2c3d-0-0", 0, 0, 10, 10), polygon("0a1b2c3d-0-1", 20, 0, 5, 10)]
    assert one(*parts).area_px == 150


def test_other_ids_are_instances_of_their_own() -> None:
    parts = [polygon("Xy_3-Q", 0, 0, 10, 10), polygon("Xy_3-R", 20, 0, 5, 10)]
    assert len(read_instances(parts).instances) == 2


@pytest.mark.parametrize(
    "parts",
    [
        [polygon("37-0", 0, 0, 10, 10), polygon("37-1", 20, 0, 5, 10)],
        [polygon("37-0", 0, 0, 10, 10, score=0.5), polygon("37-1", 20, 0, 5, 10, score=0.6)],
        [polygon("37-0", 0, 0, 10, 10, score=1 / 3), polygon("37-1", 20, 0, 5, 10, score=1 / 3)],
        [rectangle("37-0", 0, 0, 10, 10, score=1), rectangle("37-1", 20, 0, 5, 10, score=1)],
        [brush("37-0", 0, 0, 10, 10, score=0.5), brush("37-1", 20, 0, 5, 10, score=0.5)],
        [polygon("37-0", 0, 0, 10, 10, score=0.5),
         polygon("37-1", 20, 0, 5, 10, score=0.5, from_name="other")],
        [polygon("37-0", 0, 0, 10, 10, score=0.5), polygon("37.1-0", 20, 0, 5, 10, score=0.5)],
    ],
    ids=["no score", "scores", "decimals", "rectangles", "brushes", "controls", "further control"],
)  # fmt: skip
def test_ids_of_other_tools_join_nothing(parts: list[Row]) -> None:
    found = read_instances(parts).instances
    assert [(each.key, each.region_ids) for each in found] == [
        (part["id"], (part["id"],)) for part in parts
    ]


def test_a_part_that_lost_its_score_stays_with_the_others() -> None:
    parts = [polygon("3-0", 0, 0, 10, 10, score=0.5), polygon("3-1", 20, 0, 5, 10)]
    assert one(*parts).region_ids == ("3-0", "3-1")


@pytest.mark.parametrize("no_id", ["", None])
def test_regions_without_an_id_count_each(no_id: str | None) -> None:
    result = [
        polygon("#3", 80, 0, 10, 10) | {"from_name": "z"},
        polygon("", 0, 0, 10, 10) | {"id": no_id},
        brush("", 20, 0, 5, 10, "bus") | {"id": no_id},
        rectangle("", 50, 0, 5, 10) | {"id": no_id},
    ]
    found = read_instances(result).instances
    assert [(each.key, each.label, each.region_ids) for each in found] == [
        ("#3", "car", ("#3",)), ("#1", "car", ()), ("#2", "bus", ()), ("#3", "car", ()),
    ]  # fmt: skip
    missing = [{key: each[key] for key in each if key != "id"} for each in result[1:]]
    assert len(read_instances(missing).instances) == 3


def test_another_shape_of_an_id_counts_on_its_own() -> None:
    again = [polygon("a", 0, 0, 10, 10), polygon("a", 0, 0, 10, 10, "bus", from_name="more")]
    result = [*again, polygon("a", 50, 0, 10, 10, "bus"), polygon("a", 50, 0, 10, 10, "bus")]
    found = read_instances(result).instances
    assert [(each.key, each.label, each.region_ids) for each in found] == [
        ("a", "car", ("a",)), ("#2", "bus", ()),
    ]  # fmt: skip


def test_parts_that_were_given_different_labels_are_different_instances() -> None:
    parts = [
        polygon("3-0", 0, 0, 10, 10, score=0.5),
        polygon("3-1", 20, 0, 5, 10, "bus", score=0.5),
    ]
    assert [each.label for each in read_instances(parts).instances] == ["car", "bus"]


def test_an_instance_of_several_controls_counts_once() -> None:
    result = [polygon("3-0", 0, 0, 10, 10, score=0.5), brush("3.1-0", 0, 0, 10, 10, score=0.5),
              rectangle("3.2-0", 0, 0, 10, 10, score=0.5)]  # fmt: skip
    found = one(*result)
    assert [view.kind for view in found.views] == ["polygon", "brush", "rectangle"]
    assert found.kind == "polygon"


def test_the_corrected_control_stands_for_the_instance() -> None:
    result = [polygon("3-0", 0, 0, 10, 10, origin="prediction", score=0.5),
              brush("3.1-0", 0, 0, 10, 8, origin="prediction-changed", score=0.5)]  # fmt: skip
    assert (one(*result).kind, one(*result).area_px) == ("brush", 80)


def test_a_rectangle_drawn_around_a_mask_counts_once() -> None:
    found = one(rectangle("r", 0, 0, 10.5, 10), polygon("p", 0, 0, 10, 10))
    assert (found.kind, found.key, found.region_ids) == ("polygon", "p", ("p", "r"))


@pytest.mark.parametrize(
    "other",
    [
        rectangle("r", 0, 0, 10, 10, "bus"),
        rectangle("r", 6, 0, 10, 10),
        rectangle("r", 0, 0, 10, 10, item_index=1),
        rectangle("r", 0, 0, 10, 10, to_name="second"),
        polygon("r", 0, 0, 10, 10),
    ],
    ids=["label", "place", "item", "image", "kind"],
)
def test_what_is_something_else_counts_twice(other: Row) -> None:
    assert len(read_instances([polygon("p", 0, 0, 10, 10), other]).instances) == 2


def test_two_rectangles_do_not_share_a_mask() -> None:
    result = [polygon("p", 0, 0, 10, 10), rectangle("r", 0, 0, 10, 10),
              rectangle("s", 0, 0, 10, 11)]  # fmt: skip
    found = read_instances(result).instances
    assert [each.region_ids for each in found] == [("p", "r"), ("s",)]


def test_a_label_may_stand_in_a_result_of_its_own() -> None:
    shape = polygon("a", 0, 0, 10, 10, None, type="polygon")
    label = {"id": "a", "type": "labels", "from_name": "l", "to_name": "image",
             "value": {**shape["value"], "labels": ["bus"]}}  # fmt: skip
    assert one(shape, label).label == one(label, shape).label == "bus"
    assert one(shape).label == ""


@pytest.mark.parametrize(
    ("drawn", "box"),
    [
        (rectangle("r", -20, -20, 60, 60), (0, 0, 40, 40)),
        (rectangle("r", 0, 0, 1e200, 1e200), (0, 0, WIDTH, HEIGHT)),
    ],
)
def test_a_rectangle_ends_where_the_image_does(
    drawn: Row, box: tuple[float, float, float, float]
) -> None:
    assert one(drawn).box_xyxy_px == box


def test_what_is_no_region_is_left_aside() -> None:
    result = [
        {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"},
        {"id": "c", "type": "choices", "from_name": "c", "value": {"choices": ["day"]}},
        {
            "id": "a",
            "type": "choices",
            "value": {**polygon("a", 0, 0, 9, 9)["value"], "choices": []},
        },
        region("k", "keypoint", "car", {"x": 1, "y": 1, "width": 1}),
        polygon("a", 0, 0, 10, 10),
    ]
    found = read_instances(result)
    assert [each.key for each in found.instances] == ["a"]
    assert found.unread == ()


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (polygon("a", 0, 0, 10, 10, original_width=None), "TypeError"),
        (polygon("a", 0, 0, 10, 10, original_width=0), "0x50 pixels"),
        (region("a", "polygon", "car", {"points": [[1, 2]]}), "damaged polygon"),
        (region("a", "polygon", "car", {}), "damaged polygon"),
        (region("a", "brush", "car", {"rle": [1, 2]}), "damaged brush"),
        (region("a", "rectangle", "car", {"x": 1}), "without width"),
        (rectangle("a", 120, 0, 9, 9), "nothing within"),
        (rectangle("a", -30, 0, 30, 9), "nothing within"),
        (rectangle("a", float("inf"), 0, 30, 9), "not finite"),
        (polygon("a", 0, 0, 10, 10, item_index=-1), "image number -1"),
        (region("a", "polygon", "car", {"points": [[0, 0, 1], [1, 1, 1]]}), "damaged polygon"),
        (region("a", "bitmask", "car", {}), "not understood"),
        (polygon("a", 0, 0, 10, 10, image_rotation=90), "was turned"),
    ],
)
def test_what_cannot_be_read_is_said(damaged: Row, reason: str) -> None:
    found = read_instances([damaged, polygon("b", 0, 0, 5, 5)])
    assert [each.key for each in found.instances] == ["b"]
    (said,) = found.unread
    assert said.startswith("region a: ")
    assert reason in said


def test_a_region_without_an_id_that_cannot_be_read_is_said() -> None:
    (said,) = read_instances([polygon("b", 0, 0, 5, 5), region("", "bitmask", "car", {})]).unread
    assert said.startswith("region #1: ")


@pytest.mark.parametrize(
    ("region_id", "is_prompted"),
    [("0a1b2c3d-0-0", True), ("0a1b2c3d-0.1-0", True), ("0-0", False), ("Xy3-_", False)],
)
def test_answers_to_prompts_are_known_by_their_id(region_id: str, is_prompted: bool) -> None:
    assert one(polygon(region_id, 0, 0, 10, 10)).is_prompted is is_prompted


def test_an_instance_knows_where_it_comes_from() -> None:
    more = {"parentID": "x", "score": 0.5}
    parts = [polygon("3-0", 0, 0, 10, 10, origin="prediction", **more),
             polygon("3-1", 20, 0, 5, 10, origin="prediction-changed", **more)]  # fmt: skip
    assert (one(*parts).origin, one(*parts).parent_ids) == ("prediction-changed", ("x",))


@pytest.mark.parametrize("kinds", [("polygon",), ("brush",), ("polygon", "brush", "rectangle")])
def test_what_we_predict_comes_back(kinds: tuple[str, ...]) -> None:
    """Two parts, a hole, several controls: instances as the model saw them."""
    pixels = np.zeros((20, 30), np.bool_)
    pixels[2:18, 1:14] = True
    pixels[6:12, 4:9] = False
    pixels[3:9, 20:28] = True
    masks = (MaskCrop(5, 7, pixels), MaskCrop(60, 20, np.ones((9, 9), np.bool_)))
    found = Detections(
        WIDTH, HEIGHT, np.array([[6, 9, 33, 25], [60, 20, 69, 29]], np.float32),
        np.array([0.87654321, 0.6], np.float32), np.array([0, 1]), masks,
    )  # fmt: skip
    names = ("car", "bus")
    config = parse_label_config(write_label_config(names, kinds, ((200, 0, 0), (0, 0, 200))))  # type: ignore[arg-type]
    plan = plan_regions(
        config, "image", names, has_masks=True, thresholds=Thresholds(0.5), choice="all"
    )
    exact = RegionOptions(PolygonDetail(overlap=1.0, max_points=200, min_area_px=0))
    written = build_regions(found, plan, "image", exact).regions
    first, second = read_instances(written).instances  # type: ignore[arg-type]
    assert [view.kind for view in first.views] == list(kinds)
    assert (first.label, first.score, second.label, second.score) == ("car", 0.8765, "bus", 0.6)
    assert first.area_px == masks[0].area
    assert first.mask is not None
    assert (first.mask.pixels == masks[0].trimmed().pixels).all()
