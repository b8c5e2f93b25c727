"""Sizes and coordinates of the resize rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.runtime.contract import ResizeRule
from backend.runtime.errors import ContractError
from backend.runtime.image import DecodedImage
from backend.runtime.resize import needed_size, plan_resize, resize_image

RULES = [
    "none",
    "stretch:300x200",
    "fit:300x200",
    "fit:300x200:114",
    "letterbox:300x200",
    "letterbox:300x200:0",
    "shortest-edge:320:640",
]


@pytest.mark.parametrize(
    ("rule", "size", "scaled", "whole"),
    [
        ("none", (640, 480), (640, 480), (640, 480)),
        ("stretch:300x200", (640, 480), (300, 200), (300, 200)),
        ("fit:300x200", (640, 480), (267, 200), (300, 200)),
        ("fit:300x200", (100, 400), (50, 200), (300, 200)),
        ("letterbox:300x200", (640, 480), (267, 200), (300, 200)),
        ("letterbox:300x200", (100, 400), (50, 200), (300, 200)),
        ("shortest-edge:320:640", (640, 480), (427, 320), (427, 320)),
        ("shortest-edge:320:640", (480, 640), (320, 427), (320, 427)),
        ("shortest-edge:320:640", (1000, 100), (640, 64), (640, 64)),
        ("shortest-edge:320:640", (10_000, 1), (640, 1), (640, 1)),
    ],
)
def test_sizes(
    rule: str, size: tuple[int, int], scaled: tuple[int, int], whole: tuple[int, int]
) -> None:
    plan = plan_resize(ResizeRule.parse(rule), *size)
    assert (plan.scaled_width, plan.scaled_height) == scaled
    assert (plan.input_width, plan.input_height) == whole


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_is_written_as_it_is_read(rule: str) -> None:
    assert str(ResizeRule.parse(rule)) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fit",
        "fit:0x3",
        "stretch:3",
        "stretch:3x3:1",
        "shortest-edge:9:3",
        "pad:1x1",
        "letterbox:3x3:256",
    ],
)
def test_other_rules_are_refused(text: str) -> None:
    with pytest.raises(ContractError):
        ResizeRule.parse(text)


@given(
    st.sampled_from(RULES), st.integers(1, 3000), st.integers(1, 3000),
    st.tuples(*[st.floats(0, 1)] * 4),
)  # fmt: skip
def test_boxes_come_back(rule: str, width: int, height: int, at: tuple[float, ...]) -> None:
    plan = plan_resize(ResizeRule.parse(rule), width, height)
    x1, x2 = sorted((at[0] * width, at[1] * width))
    y1, y2 = sorted((at[2] * height, at[3] * height))
    in_image = np.array([[x1, y1, x2, y2]], np.float32)
    in_input = in_image * np.float32([plan.scale_x, plan.scale_y] * 2)
    in_input += np.float32([plan.offset_x, plan.offset_y] * 2)
    assert np.allclose(plan.boxes_to_image(in_input), in_image, atol=1e-3 * max(width, height))


def image(width: int, height: int) -> DecodedImage:
    columns = np.arange(width) % 2 * 255
    pixels = np.broadcast_to(columns[None, :, None], (height, width, 3)).astype(np.uint8)
    return DecodedImage(np.ascontiguousarray(pixels), 1, "")


def test_padding_is_right_and_below_and_black() -> None:
    tensor, plan = resize_image(image(100, 400), ResizeRule.parse("fit:300x200"))
    assert tensor.shape == (1, 200, 300, 3)
    assert (tensor[0, :, plan.scaled_width :] == 0).all()
    assert tensor[0, :, : plan.scaled_width].any()


def test_a_letterbox_pads_both_sides_with_grey() -> None:
    tensor, plan = resize_image(image(100, 398), ResizeRule.parse("letterbox:301x199"))
    assert (plan.scaled_width, plan.scaled_height) == (50, 199)
    assert (plan.offset_x, plan.offset_y) == (125, 0)  # 126 are left to the right
    assert (tensor[0, :, :125] == 114).all()
    assert (tensor[0, :, 175:] == 114).all()
    assert not (tensor[0, :, 125:175] == 114).all(axis=(0, 2)).any()


def test_strong_shrinking_averages() -> None:
    tensor, _ = resize_image(image(1200, 800), ResizeRule.parse("stretch:300x200"))
    assert np.ptp(tensor.astype(int)) <= 1  # stripes of one pixel become even grey


def test_none_hands_the_pixels_on() -> None:
    source = image(31, 17)
    tensor, _ = resize_image(source, ResizeRule.parse("none"))
    assert np.array_equal(tensor[0], source.pixels)


@pytest.mark.parametrize(
    ("rule", "size", "needed"),
    [
        ("none", (4000, 3000), (4000, 3000)),
        ("shortest-edge:320:640", (4000, 3000), (427, 320)),
        ("shortest-edge:320:640", (700, 650), (345, 320)),
        ("shortest-edge:320:640", (640, 640), (640, 640)),  # not shrunk by more than 2
        ("stretch:100x400", (300, 300), (100, 400)),
        ("fit:100x100", (50, 40), (50, 40)),
    ],
)
def test_needed_of_an_image(rule: str, size: tuple[int, int], needed: tuple[int, int]) -> None:
    assert needed_size(ResizeRule.parse(rule), *size) == needed


def test_a_reduced_image_becomes_the_same_input() -> None:
    """Blocks of 8x8 pixels are of one colour, so that 1/2 to 1/8 of them loses nothing."""
    tiles = np.random.default_rng(1).integers(0, 256, (30, 40, 3), np.uint8)
    pixels = tiles.repeat(32, axis=0).repeat(32, axis=1)
    rule = ResizeRule.parse("stretch:40x30")
    whole, geometry = resize_image(DecodedImage(pixels, 1, ""), rule)
    reduced = DecodedImage(np.ascontiguousarray(pixels[::8, ::8]), 1, "", (1280, 960))
    small, same_geometry = resize_image(reduced, rule)
    assert geometry == same_geometry
    np.testing.assert_array_equal(small, whole)
