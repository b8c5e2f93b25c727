"""Whatever Label Studio has stored: a region is read, or it is said that it is not."""

from __future__ import annotations

import copy
import tracemalloc
from typing import Any

import numpy as np
import pytest
from corrected import annotation, brush, polygon, rectangle, region, task
from hypothesis import given
from hypothesis import strategies as st

from backend.corrections.export.coco_instances import coco_annotation
from backend.corrections.history import tasks_of_row
from backend.corrections.instances import read_instances
from backend.labelstudio.brush_rle import decode_brush, encode_brush
from backend.labelstudio.region_masks import region_mask
from backend.runtime.detections import MaskCrop

GOOD = [
    polygon("0-0", 10, 10, 20, 20, score=0.5, origin="prediction"),
    polygon("", 50, 10, 20, 20),
    brush("b", 5, 5, 10, 10),
    rectangle("r", 1, 1, 30, 30),
    region("e", "ellipse", "car", {"x": 40, "y": 50, "radiusX": 20, "radiusY": 30, "rotation": 9}),
]
ODD: list[Any] = [
    None, "", "x", [], {}, {"a": 1}, -1, 0, 1.5, True, 10**12, float("inf"), float("nan"), "1e5",
    [None], [[1]], [[1, 2], [3, None], [5, 6]], [["a", "b"]] * 4, [[1, 2, 3]] * 3, [300] * 40,
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> list[Any]:
    """Good regions, of which one field, or a whole one, is something else."""
    result: list[Any] = copy.deepcopy(GOOD)
    for _ in range(draw(st.integers(1, 3))):
        item = result[draw(st.integers(0, len(GOOD) - 1))]
        part = draw(st.sampled_from([item, item.get("value")]))
        if not isinstance(part, dict) or not part:
            continue
        name = draw(st.sampled_from(sorted(part)))
        part[name] = draw(st.sampled_from(ODD))
    if draw(st.booleans()):
        result.append(draw(st.sampled_from(ODD)))
    return result


@given(damaged())
def test_nothing_that_is_stored_breaks_the_reading(result: list[Any]) -> None:
    reading = read_instances(result)
    for instance in reading.instances:
        for segmentation in ("as-drawn", "polygon", "rle"):
            found = coco_annotation(instance, result, segmentation)  # type: ignore[arg-type]
            assert found is None or found["area"] > 0


def test_what_is_no_region_at_all_is_counted() -> None:
    found = read_instances([*GOOD, None, "x", 3])  # type: ignore[list-item]
    assert len(found.instances) == len(GOOD)
    assert found.unread == ("a region that is no object",) * 3


def test_a_task_with_such_an_annotation_is_read() -> None:
    row = task(1, [annotation(1, *GOOD, None, {"id": "x", "from_name": ["odd"]})], [])  # type: ignore[arg-type]
    (found,) = tasks_of_row(row, prompts=("polygon",))
    assert len(found.result) == len(GOOD) + 2 - 2


def test_a_size_that_no_image_has_costs_no_memory() -> None:
    huge = polygon("p", 0, 0, 50, 50, original_width=10**6, original_height=10**6)
    (said,) = read_instances([huge]).unread
    assert "1000000x1000000" in said


def test_an_outline_without_end_is_said_and_costs_no_memory() -> None:
    points = [[900 * (i % 2) - 400, i / 50] for i in range(5000)]
    endless = region("p", "polygon", "car", {"points": points})
    (said,) = read_instances([endless | {"original_width": 4000, "original_height": 3000}]).unread
    assert said.startswith("region p: ")
    assert "more than 16000000 times" in said


def test_a_brush_mask_costs_what_was_painted_and_not_what_it_claims() -> None:
    side = 11_000
    rle = encode_brush(MaskCrop(5, 5, np.ones((1, 1), np.bool_)), side, side)
    dot = region("b", "brush", "car", {"format": "rle", "rle": rle})
    tracemalloc.start()
    found = read_instances([dot | {"original_width": side, "original_height": side}])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [each.area_px for each in found.instances] == [1]
    assert peak < 2 * side * side  # before, eight bytes a pixel


def test_a_brush_mask_that_claims_a_huge_image_is_no_mask_of_a_small_one() -> None:
    rle = encode_brush(MaskCrop(5, 5, np.ones((1, 1), np.bool_)), 16384, 16384)
    huge = region("b", "brush", "car", {"format": "rle", "rle": rle})
    sized = huge | {"original_width": 16384, "original_height": 16384}
    assert region_mask(sized, 64, 64) is None
    assert "16384x16384" in read_instances([sized]).unread[0]


@pytest.mark.parametrize("rle", [10**12, [300], [-1], ["a"], [None], None, {"a": 1}])
def test_no_list_of_bytes_is_no_brush_mask(rle: Any) -> None:
    with pytest.raises(ValueError, match="brush mask"):
        decode_brush(rle, 4, 4)
