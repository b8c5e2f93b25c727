"""Instances as COCO's annotations; pycocotools draws what was annotated, pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from corrected import HEIGHT, WIDTH, Row, brush, polygon, rectangle, region
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from backend.corrections.export.coco_instances import Segmentation, coco_annotation
from backend.corrections.instances import Instance, read_instances
from backend.labelstudio.brush_rle import encode_brush
from backend.labelstudio.region_masks import region_mask
from backend.runtime.detections import MaskCrop

STYLES: tuple[Segmentation, ...] = ("as-drawn", "polygon", "rle")


def one_instance(*result: Row) -> Instance:
    (instance,) = read_instances(result).instances
    return instance


def written(*result: Row, style: Segmentation = "as-drawn") -> dict[str, Any]:
    found = coco_annotation(one_instance(*result), result, style)
    assert found is not None
    return found


def drawn(annotation: dict[str, Any]) -> np.ndarray:
    """As pycocotools' COCO.annToMask does it."""
    segmentation = annotation["segmentation"]
    if isinstance(segmentation, list):
        rles = coco_mask.frPyObjects(segmentation, HEIGHT, WIDTH)
        segmentation = coco_mask.merge(rles)
    return np.asarray(coco_mask.decode(segmentation), bool)


def painted(pixels: np.ndarray) -> Row:
    rle = encode_brush(MaskCrop(0, 0, pixels), WIDTH, HEIGHT)
    return region("b", "brush", "car", {"format": "rle", "rle": rle})


def outline(region_id: str, points: list[tuple[float, float]]) -> Row:
    percent = [[x / WIDTH * 100, y / HEIGHT * 100] for x, y in points]
    return region(region_id, "polygon", "car", {"points": percent, "closed": True})


ELLIPSE = region(
    "e", "ellipse", "car", {"x": 40, "y": 50, "radiusX": 20, "radiusY": 30, "rotation": 30}
)


@pytest.mark.parametrize("style", STYLES)
def test_nothing_painted_is_no_annotation(style: Segmentation) -> None:
    empty = painted(np.zeros((HEIGHT, WIDTH), bool))
    assert coco_annotation(one_instance(empty), [empty], style) is None


def test_a_polygon_stays_a_polygon() -> None:
    found = written(polygon("p", 10, 20, 30, 10))
    assert found["segmentation"] == [[10, 20, 40, 20, 40, 30, 10, 30]]
    assert (found["bbox"], found["area"], found["iscrowd"]) == ([10, 20, 30, 10], 300, 0)


def test_a_brush_mask_becomes_run_lengths() -> None:
    found = written(brush("b", 10, 20, 30, 10))
    assert found["segmentation"]["size"] == [HEIGHT, WIDTH]
    assert (found["bbox"], found["area"]) == ([10, 20, 30, 10], 300)


def test_a_rectangle_has_no_segmentation() -> None:
    found = written(rectangle("r", 10, 20, 30.5, 10))
    assert found["segmentation"] == []
    assert found["bbox"] == pytest.approx([10, 20, 30.5, 10])
    assert found["area"] == pytest.approx(305)


def test_parts_of_an_instance_are_one_annotation() -> None:
    parts = [polygon("3-0", 5, 5, 10, 10, score=0.5), polygon("3-1", 10, 10, 10, 10, score=0.5)]
    found = written(*parts)
    assert len(found["segmentation"]) == 2
    assert found["area"] == 100 + 100 - 25  # they overlap
    assert drawn(found).sum() == 175


def test_a_corrected_control_goes_before_one_left_as_it_was() -> None:
    kept = polygon("3-0", 5, 5, 10, 10, origin="prediction", score=0.5)
    corrected = brush("3.1-0", 5, 5, 20, 10, origin="prediction-changed", score=0.5)
    assert written(kept, corrected)["area"] == 200


def test_regions_that_share_an_id_or_have_none_keep_their_own_outlines() -> None:
    result = [None, polygon("a", 0, 0, 9, 9), polygon("a", 50, 0, 9, 9), polygon("", 5, 20, 9, 9)]
    found = read_instances(result).instances  # type: ignore[arg-type]
    written = [coco_annotation(each, result, "as-drawn") for each in found]  # type: ignore[arg-type]
    assert [each and each["segmentation"][0][:2] for each in written] == [[0, 0], [50, 0], [5, 20]]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize(
    "item",
    [
        polygon("p", 10.3, 20.7, 30.4, 10.2),
        outline("o", [(0, 0), (100, 50), (100, 0), (0, 50)]),  # crosses itself
        outline("o", [(-20, -10), (130, 20), (30, 80)]),  # leaves the image
        ELLIPSE,
        brush("b", 10, 20, 30, 10),
    ],
)
def test_every_style_draws_what_was_annotated(item: Row, style: Segmentation) -> None:
    found = written(item, style=style)
    mask = region_mask(item, WIDTH, HEIGHT)
    assert mask is not None
    assert np.array_equal(drawn(found), mask)
    assert found["area"] == mask.sum()
    encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert found["bbox"] == coco_mask.toBbox(encoded).tolist()


@given(st.data())
def test_any_brush_mask_in_every_style(data: st.DataObject) -> None:
    seed = data.draw(st.integers(0, 2**32 - 1))
    share = data.draw(st.sampled_from([0.02, 0.5, 0.9]))
    pixels = np.zeros((HEIGHT, WIDTH), bool)
    pixels[3:16, 80:] = np.random.default_rng(seed).random((13, 20)) < share
    pixels[3, 80] = True
    for style in STYLES:
        assert np.array_equal(drawn(written(painted(pixels), style=style)), pixels)


@given(st.lists(st.tuples(st.floats(-20, 120), st.floats(-20, 70)), min_size=3, max_size=12))
def test_any_polygon_in_every_style(points: list[tuple[float, float]]) -> None:
    item = outline("o", points)
    mask = region_mask(item, WIDTH, HEIGHT)
    assert mask is not None
    for style in STYLES:
        found = coco_annotation(one_instance(item), [item], style)
        if found is None:
            assert not mask.any()
        else:
            assert np.array_equal(drawn(found), mask)
