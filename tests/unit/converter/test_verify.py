"""What the trial of a converted model looks at."""

from __future__ import annotations

import numpy as np
import pytest

from backend.runtime.contract import ResizeRule
from backend.runtime.engine import RawOutputs
from backend.runtime.errors import ConversionError
from backend.runtime.resize import plan_resize
from converter.phases import begin, heard_by
from converter.verify import check_outputs, trial_sizes_wh


def raw(boxes: list[list[float]], labels: list[int], masks: np.ndarray | None = None) -> RawOutputs:
    return RawOutputs(
        boxes=np.array(boxes, np.float32).reshape(-1, 5),
        labels=np.array(labels, np.int64),
        masks=masks,
    )


BOX = [1.0, 2.0, 3.0, 4.0, 0.5]


@pytest.mark.parametrize("masks", [None, np.zeros((0, 2, 2), np.float32)])
def test_nothing_found_is_fine(masks: np.ndarray | None) -> None:
    check_outputs(raw([], [], masks), 2, "")


def test_what_fits_is_fine() -> None:
    masks = np.array([[[0.0, 1.0], [0.5, 1.004]]], np.float32)  # bf16 rounds
    check_outputs(raw([BOX], [1], masks), 2, "")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (raw([BOX], [2]), r"a label has the value 2, not one within 0..1: does --labels fit"),
        (raw([BOX], [-1]), "a label has the value -1"),
        (raw([BOX, BOX], [0]), r"shapes \(2, 5\) and \(1,\)"),
        (raw([[1, 2, 3, 4, 7.5]], [0]), "a score has the value 7.5, .* probabilities"),
        (raw([[1, 2, float("nan"), 4, 0.5]], [0]), "not finite"),
        (raw([BOX], [0], np.full((1, 2, 2), -3, np.float32)), "a mask has the value -3"),
        (raw([BOX], [0], np.zeros((2, 2, 2), np.float32)), r"not \[1,h,w\]"),
        (raw([BOX], [0], np.full((1, 2, 2), np.nan, np.float32)), "a mask has the value nan"),
    ],
)
def test_what_does_not_fit(found: RawOutputs, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        check_outputs(found, 2, "for an image")


@pytest.mark.parametrize(
    ("rule", "first"),
    [
        ("none", (608, 416)),
        ("shortest-edge:800:1333", (1024, 800)),
        ("shortest-edge:320:640", (416, 320)),
        ("shortest-edge:480:480", (480, 480)),
    ],
)
def test_one_trial_size_becomes_an_input_that_32_divides(rule: str, first: tuple[int, int]) -> None:
    parsed = ResizeRule.parse(rule)
    divisible, other = trial_sizes_wh(parsed)
    assert divisible == first
    first_plan, other_plan = plan_resize(parsed, *divisible), plan_resize(parsed, *other)
    assert (first_plan.input_width % 32, first_plan.input_height % 32) == (0, 0)
    assert other_plan.input_height % 32 or other_plan.input_width % 32


def test_phases_are_heard_only_within() -> None:
    heard: list[str] = []
    begin("load")
    with heard_by(heard.append):
        begin("convert")
    begin("adapt")
    assert heard == ["convert"]
