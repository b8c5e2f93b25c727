"""How much of a region people have annotated already."""

from __future__ import annotations

import numpy as np
import pytest

from backend.bulk.coverage import drop_covered
from backend.labelstudio.brush_rle import encode_brush
from backend.labelstudio.json_calls import Row
from backend.labelstudio.region_masks import region_mask
from backend.runtime.detections import MaskCrop

WIDTH, HEIGHT = 200, 100


def region(value: Row, region_id: str = "a", **more: object) -> Row:
    sizes = {"original_width": WIDTH, "original_height": HEIGHT}
    return {"id": region_id, "to_name": "img", "value": value, **sizes, **more}


def polygon(*points: tuple[float, float]) -> Row:
    return {"points": [list(point) for point in points], "closed": True, "polygonlabels": ["x"]}


def rectangle(x: float, y: float, w: float, h: float, rotation: float = 0) -> Row:
    return {"x": x, "y": y, "width": w, "height": h, "rotation": rotation}


def square(x: float, size: float = 20) -> Row:
    return polygon((x, 10), (x + size, 10), (x + size, 60), (x, 60))


def area(value: Row, **more: object) -> int:
    mask = region_mask(region(value, **more), WIDTH, HEIGHT)
    assert mask is not None and mask.shape == (HEIGHT, WIDTH)
    return int(mask.sum())


def brush(x: int, y: int, w: int, h: int) -> Row:
    return {
        "format": "rle",
        "rle": encode_brush(MaskCrop(x, y, np.ones((h, w), bool)), WIDTH, HEIGHT),
    }


def test_nothing_drawn_covers_nothing() -> None:
    regions = [region(square(10))]
    assert drop_covered([], [], 0.5) == []
    assert drop_covered(regions, [], 0.5) == regions
    assert drop_covered(regions, [{"result": []}], 0.5) == regions
    assert drop_covered(regions, [{"result": None}], 0.5) == regions


def test_areas_of_all_kinds() -> None:
    # 20 % x 50 % of 200 x 100 pixels.
    for value in (square(10), rectangle(10, 10, 20, 50), brush(20, 10, 40, 50)):
        assert area(value) == 2000
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20}
    assert area(ellipse) == pytest.approx(np.pi * 20 * 20, rel=0.01)


def test_a_rectangle_turns_around_its_corner_in_pixels() -> None:
    turned = region_mask(region(rectangle(50, 10, 20, 20, rotation=90)), WIDTH, HEIGHT)
    assert turned is not None
    ys, xs = np.nonzero(turned)
    # 40 x 20 pixels at (100, 10), a quarter to the right around that corner: x 80-100, y 10-50.
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == pytest.approx((80, 100, 10, 50), abs=1.5)


def test_an_ellipse_turns_around_its_centre_in_pixels() -> None:
    flat = {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": 90}
    mask = region_mask(region(flat), WIDTH, HEIGHT)
    assert mask is not None
    ys, xs = np.nonzero(mask)
    assert (xs.min(), xs.max(), ys.min(), ys.max()) == pytest.approx((90, 110, 10, 90), abs=1.5)


@pytest.mark.parametrize(
    "value",
    [
        None, 7, {}, {"x": 1}, {"keypointlabels": ["x"]}, {"points": "no"},
        {"points": [[1], [2, 3]]},
        {"rle": [1, 2, 3], "format": "rle"}, {"x": "a", "y": 1, "width": 2, "height": 3},
    ],
)  # fmt: skip
def test_what_has_no_area_or_is_damaged_is_none(value: object) -> None:
    assert region_mask({"id": "a", "value": value, "original_width": 9}, 20, 10) is None


@pytest.mark.parametrize(
    "drawn", [square(10), rectangle(10, 10, 20, 50), brush(20, 10, 40, 50)], ids=str
)
@pytest.mark.parametrize(
    "found", [square(10), rectangle(10, 10, 20, 50), brush(20, 10, 40, 50)], ids=str
)
def test_the_same_place_in_another_kind_is_covered(drawn: Row, found: Row) -> None:
    kept = drop_covered(
        [region(found), region(square(60), "b")], [{"result": [region(drawn)]}], 0.8
    )
    assert [r["id"] for r in kept] == ["b"]


def test_the_share_decides() -> None:
    half = [{"result": [region(square(20))]}]
    assert drop_covered([region(square(10))], half, 0.6) != []
    assert drop_covered([region(square(10))], half, 0.4) == []


def test_several_annotations_cover_together_but_cancelled_ones_do_not() -> None:
    left, right = {"result": [region(square(10))]}, {"result": [region(square(30))]}
    wide = [region(square(10, 40))]
    assert drop_covered(wide, [left], 0.9) == wide
    assert drop_covered(wide, [left, right], 0.9) == []
    assert drop_covered(wide, [left, right | {"was_cancelled": True}], 0.9) == wide


def test_another_image_of_the_task_is_another_place() -> None:
    drawn = [{"result": [region(square(10), item_index=1)]}]
    first, second = region(square(10)), region(square(10), "b", item_index=1)
    assert drop_covered([first, second], drawn, 0.5) == [first]
    elsewhere = [{"result": [region(square(10)) | {"to_name": "other"}]}]
    assert drop_covered([first], elsewhere, 0.5) == [first]


def test_a_large_image_is_compared_in_fewer_pixels() -> None:
    sizes = {"original_width": 12_000, "original_height": 6_000}
    drawn = [{"result": [region(square(10)) | sizes]}]
    assert drop_covered([region(square(10)) | sizes], drawn, 0.9) == []
