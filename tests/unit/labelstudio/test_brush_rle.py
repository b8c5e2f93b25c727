"""The brush format: equal to the SDK's, and there and back."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from backend.labelstudio.brush_rle import decode_brush, encode_brush
from backend.runtime.detections import MaskCrop
from tests.sdk import SdkOracle

masks = st.tuples(st.integers(1, 40), st.integers(1, 40)).flatmap(lambda s: arrays(np.bool_, s))


@pytest.fixture(scope="module")
def sdk() -> Iterator[SdkOracle]:
    with SdkOracle.start() as oracle:
        yield oracle


def ellipse(height: int, width: int) -> np.ndarray:
    ys, xs = np.mgrid[:height, :width]
    return ((xs / width - 0.5) ** 2 + (ys / height - 0.5) ** 2) < 0.2


def holes(height: int, width: int) -> np.ndarray:
    mask = np.ones((height, width), np.bool_)
    mask[::3, ::3] = False
    return mask


SHAPES = {
    "empty": np.zeros((5, 7), np.bool_),
    "one pixel": np.ones((1, 1), np.bool_),
    "a corner": np.eye(8, dtype=np.bool_)[:1],
    "full frame": np.ones((300, 400), np.bool_),
    "borders": np.pad(np.zeros((20, 30), np.bool_), 1, constant_values=True),
    "holes": holes(50, 60),
    "thousands of parts": holes(200, 200) ^ True,
    "smooth": ellipse(480, 640),
    "rows that run on": np.repeat(np.array([[0], [1], [1], [0]], np.bool_), 33, axis=1),
    "exactly the longest run": np.ones((128, 128), np.bool_),  # 65536 bytes
    "one more": np.ones((1, 16385), np.bool_),
}


@pytest.mark.parametrize("name", SHAPES)
def test_equals_the_sdk(name: str, sdk: SdkOracle) -> None:
    mask = SHAPES[name]
    height, width = mask.shape
    rle = encode_brush(MaskCrop(0, 0, mask).trimmed(), width, height)
    assert rle == sdk.encode(mask)
    assert np.array_equal(decode_brush(rle, width, height), mask)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(mask=masks)
def test_any_mask_equals_the_sdk_and_round_trips(mask: np.ndarray, sdk: SdkOracle) -> None:
    height, width = mask.shape
    rle = encode_brush(MaskCrop(0, 0, mask).trimmed(), width, height)
    assert rle == sdk.encode(mask)
    assert np.array_equal(decode_brush(rle, width, height), mask)
    assert np.array_equal(sdk.decode(rle, width, height).all(axis=2), mask)


def test_a_mask_outside_the_image_is_refused() -> None:
    with pytest.raises(ValueError, match="not within an image"):
        encode_brush(MaskCrop(8, 0, np.ones((1, 3), np.bool_)), 10, 10)


@pytest.mark.parametrize(
    ("rle", "reason"),
    [([], "ends too early"), ([0, 0, 0, 8], "8 bytes, but"), ([0, 0, 0, 16, 57], "too early")],
)
def test_damaged_lists_are_refused(rle: list[int], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_brush(rle, 2, 2)


def test_runs_beyond_the_image_are_refused() -> None:
    rle = encode_brush(MaskCrop(0, 0, np.ones((2, 2), np.bool_)), 2, 2)
    longer = encode_brush(MaskCrop(0, 0, np.ones((4, 4), np.bool_)), 4, 4)
    with pytest.raises(ValueError, match="more bytes"):
        decode_brush(rle[:4] + longer[4:], 2, 2)
