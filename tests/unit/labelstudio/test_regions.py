"""Detections become regions."""

from __future__ import annotations

import numpy as np
import pytest

from backend.labelstudio.brush_rle import decode_brush
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.region_plan import ControlChoice, RegionPlan, Thresholds, plan_regions
from backend.labelstudio.regions import RegionOptions, build_regions, certainties, prediction_score
from backend.runtime.detections import Detections, MaskCrop

XML = """<View><Image name="image" value="$image"/>
<PolygonLabels name="p" toName="image"><Label value="Car"/></PolygonLabels>
<BrushLabels name="b" toName="image"><Label value="Car"/></BrushLabels>
<RectangleLabels name="r" toName="image"><Label value="Car"/></RectangleLabels></View>"""
PAIRS = """<View><Image name="image" value="$image"/><Labels name="l" toName="image">
<Label value="Car"/></Labels><Polygon name="p" toName="image"/></View>"""


def plan(xml: str = XML, choice: ControlChoice = "all") -> RegionPlan:
    return plan_regions(
        parse_label_config(xml), "image", ("car", "dog"), has_masks=True,
        thresholds=Thresholds(model=0.5), choice=choice,
    )  # fmt: skip


def found(*scores: float, crop: MaskCrop | None = None) -> Detections:
    n = len(scores)
    crop = crop or MaskCrop(20, 10, np.ones((20, 40), np.bool_))
    return Detections(
        200,
        100,
        np.array([[20, 10, 60, 30]] * n, np.float32).reshape(n, 4),
        np.array(scores, np.float32),
        np.zeros(n, np.int64),
        (crop,) * n,
    )


def test_nothing_found() -> None:
    written = build_regions(found(), plan(), "image", RegionOptions())
    assert (written.regions, written.instance_scores, written.capped) == ([], (), 0)


def test_one_instance_in_all_controls() -> None:
    polygon, brush, box = build_regions(found(0.9, 0.4), plan(), "image", RegionOptions()).regions
    assert polygon["id"] == "0-0"
    assert polygon["value"]["closed"] is True
    assert {tuple(p) for p in polygon["value"]["points"]} == {
        (10, 10),
        (30, 10),
        (30, 30),
        (10, 30),
    }
    assert polygon["value"]["polygonlabels"] == ["Car"]
    assert decode_brush(brush["value"]["rle"], 200, 100).sum() == 800
    assert box["value"] == {
        "x": 10.0, "y": 10.0, "width": 20.0, "height": 20.0, "rotation": 0,
        "rectanglelabels": ["Car"],
    }  # fmt: skip
    for region in (polygon, brush, box):
        assert region["original_width"] == 200
        assert region["original_height"] == 100
        assert region["score"] == 0.9
    assert len({region["id"] for region in (polygon, brush, box)}) == 3


def test_labels_of_their_own_tag_make_two_results_of_one_id() -> None:
    shape, label = build_regions(found(0.9), plan(PAIRS), "image", RegionOptions()).regions
    assert shape["id"] == label["id"]
    assert (shape["type"], shape["from_name"]) == ("polygon", "p")
    assert (label["type"], label["from_name"]) == ("labels", "l")
    assert "labels" not in shape["value"]
    assert label["value"] == {**shape["value"], "labels": ["Car"]}


def test_parts_share_their_instance() -> None:
    pixels = np.zeros((20, 40), np.bool_)
    pixels[:, :10] = pixels[:, 30:] = True
    written = build_regions(
        found(0.9, crop=MaskCrop(20, 10, pixels)), plan(choice="polygon"), "image", RegionOptions()
    )
    assert [region["id"] for region in written.regions] == ["0-0", "0-1"]
    assert written.instance_scores == pytest.approx((0.9,))


def test_an_instance_without_a_pixel_has_no_polygon() -> None:
    empty = MaskCrop(0, 0, np.zeros((0, 0), np.bool_))
    written = build_regions(
        found(0.9, crop=empty), plan(choice="polygon"), "image", RegionOptions()
    )
    assert written.regions == []
    assert written.instance_scores == ()


def test_brush_regions_are_capped_best_first() -> None:
    options = RegionOptions(max_brush_regions=2)
    written = build_regions(found(0.9, 0.8, 0.7), plan(choice="brush"), "image", options)
    assert [region["score"] for region in written.regions] == [0.9, 0.8]
    assert written.capped == 1


def test_item_index_of_several_images() -> None:
    first = build_regions(found(0.9), plan(), "image", RegionOptions(), 0).regions
    second = build_regions(found(0.9), plan(), "image", RegionOptions(), 1).regions
    assert [region["item_index"] for region in second] == [1, 1, 1]
    assert not {r["id"] for r in first} & {r["id"] for r in second}


@pytest.mark.parametrize(
    ("strategy", "shown", "seen", "wanted"),
    [
        ("mean", (0.9, 0.5), (0.9, 0.5), 0.7),
        ("min", (0.9, 0.5), (0.9, 0.5), 0.5),
        ("mean", (), (0.4,), 0.0),
        ("margin", (), (), 1.0),
        ("margin", (0.9,), (0.9, 0.45), 0.1),
        ("margin", (0.6,), (0.6, 0.1), 0.2),
        ("agreement", (), (), 1.0),
        ("agreement", (0.9,), (0.9, 0.2), 1.0),
        ("agreement", (0.9, 0.7), (0.9, 0.7, 0.3, 0.1), 1 / 3),
    ],
)
def test_prediction_score(
    strategy: str, shown: tuple[float, ...], seen: tuple[float, ...], wanted: float
) -> None:
    certainty = certainties(found(*seen), plan())
    score = prediction_score(strategy, shown, certainty)  # type: ignore[arg-type]
    assert score == pytest.approx(wanted, abs=1e-4)


def test_certainty_counts_from_the_threshold_in_force() -> None:
    strict = plan(XML.replace('value="Car"', 'value="Car" model_score_threshold="0.8"'))
    assert certainties(found(0.9, 0.5, 0.4), strict) == pytest.approx([0.5, 0.375, 0.5])
    assert certainties(found(0.9), plan(XML.replace("Car", "Cow"))) == []
