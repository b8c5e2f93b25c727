"""What a model found, before thresholds: from memory and from bytes the same detections."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from backend.runtime.candidates import Candidates
from backend.runtime.candidates_format import (
    MAGIC,
    FormatError,
    pack_candidates,
    unpack_candidates,
)
from backend.runtime.contract import MaskFrame
from backend.runtime.detections import Detections
from backend.runtime.engine import RawOutputs, decode, select
from backend.runtime.masks import MaskCells, cut_mask, paste_cells
from backend.runtime.resize import ResizeGeometry
from tests.toy_model import toy_contract

SAME = ResizeGeometry(100, 80, 100, 80, 100, 80)


def raw_outputs(scores: list[float], frame: MaskFrame | None, seed: int = 0) -> RawOutputs:
    """Instances at random places, with random masks."""
    n = len(scores)
    random = np.random.default_rng(seed)
    corner = random.uniform(0, 60, (n, 2))
    size = random.uniform(-1, 40, (n, 2))
    boxes = np.hstack([corner, corner + size, np.array(scores).reshape(n, 1)])
    masks = random.uniform(0, 1, (n, 7, 9)).astype(np.float32)
    labels = random.integers(0, 3, n)
    return RawOutputs(boxes.astype(np.float32), labels, None if frame is None else masks)


def assert_equal(a: Detections, b: Detections) -> None:
    assert (a.width, a.height) == (b.width, b.height)
    for name in ("boxes_xyxy_px", "scores", "labels"):
        left, right = getattr(a, name), getattr(b, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    assert (a.masks is None) == (b.masks is None)
    for one, other in zip(a.masks or (), b.masks or (), strict=True):
        assert (one.x, one.y) == (other.x, other.y)
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_nothing_found() -> None:
    contract = toy_contract()
    found = select(raw_outputs([], "box"), SAME, contract, 0.05, 300)
    assert len(found) == found.size_bytes == 0
    detections = found.detections(0.5, 300)
    assert len(detections) == 0 and detections.masks == ()
    again = unpack_candidates(pack_candidates(found, "k"), "k")
    assert_equal(again.detections(0.5, 300), detections)


def test_what_it_can_answer() -> None:
    three = select(raw_outputs([0.9, 0.5, 0.2], None, seed=1), SAME, toy_contract(mask_frame=None),
                   0.1, 3)  # fmt: skip
    assert len(three) == 3
    assert three.can_answer(0.1, 3) and three.can_answer(0.9, 1)
    assert not three.can_answer(0.05, 3)
    # There may have been a fourth.
    assert not three.can_answer(0.1, 4)
    with pytest.raises(ValueError, match="asked for 4"):
        three.detections(0.1, 4)
    whole = select(raw_outputs([0.9], None, seed=1), SAME, toy_contract(mask_frame=None), 0.1, 3)
    assert whole.can_answer(0.1, 1000)


def test_arrays_are_read_only() -> None:
    found = select(raw_outputs([0.9], "box", seed=1), SAME, toy_contract(), 0.05, 300)
    assert found.cells
    for array in (found.boxes_xyxy_px, found.scores, found.labels, found.cells[0].probabilities):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


FRAMES = st.sampled_from(["box", "image", None])
SCORES = st.lists(st.floats(0, 1, width=32), max_size=8)


@given(SCORES, FRAMES, st.floats(0, 1), st.floats(0, 1), st.integers(1, 9), st.integers(0, 99))
def test_a_lower_floor_changes_no_answer(
    scores: list[float], frame: MaskFrame | None, a: float, b: float, limit: int, seed: int
) -> None:
    contract = toy_contract(mask_frame=frame)
    floor, wanted = sorted((a, b))
    raw = raw_outputs(scores, frame, seed)
    direct = decode(raw, SAME, contract, wanted, limit)
    found = select(raw, SAME, contract, floor, limit)
    assert_equal(found.detections(wanted, limit), direct)
    stored = unpack_candidates(pack_candidates(found, "k"), "k")
    assert_equal(stored.detections(wanted, limit), direct)


@given(SCORES, FRAMES, st.integers(0, 99))
def test_bytes_keep_every_number(scores: list[float], frame: MaskFrame | None, seed: int) -> None:
    raw = raw_outputs(scores, frame, seed)
    found = select(raw, SAME, toy_contract(mask_frame=frame), 0.0, 50)
    again = unpack_candidates(pack_candidates(found, "a key"), "a key")
    assert (again.geometry, again.frame) == (found.geometry, found.frame)
    assert (again.floor_score, again.limit) == (found.floor_score, found.limit)
    np.testing.assert_array_equal(again.scores, found.scores)
    for one, other in zip(again.cells or (), found.cells or (), strict=True):
        assert (one.row, one.column, one.rows) == (other.row, other.column, other.rows)
        assert one.columns == other.columns
        np.testing.assert_array_equal(one.probabilities, other.probabilities)


@given(
    hnp.arrays(np.float32, (11, 13), elements=st.sampled_from([0.0, 1.0])),
    st.tuples(*[st.floats(0, 80, width=32)] * 4),
    st.sampled_from([(50, 40, 0, 0), (200, 160, 0, 20), (30, 90, 3, 1)]),
)
def test_the_cut_holds_every_cell_that_counts(
    probabilities: np.ndarray, corners: tuple[float, ...], sizes: tuple[int, int, int, int]
) -> None:
    scaled_width, scaled_height, left, top = sizes
    geometry = ResizeGeometry(100, 80, 240, 240, scaled_width, scaled_height, left, top)
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    box = np.array([x1, y1, x2, y2], np.float32)
    whole = MaskCells(probabilities, 0, 0, 11, 13)
    cut = cut_mask(probabilities, box, geometry, "image")
    expected = paste_cells(whole, box, geometry, "image")
    got = paste_cells(cut, box, geometry, "image")
    assert cut.probabilities.size <= probabilities.size
    assert (got.x, got.y) == (expected.x, expected.y)
    np.testing.assert_array_equal(got.pixels, expected.pixels)


def stored() -> bytes:
    found = select(raw_outputs([0.9, 0.4], "box", seed=3), SAME, toy_contract(), 0.05, 300)
    assert len(found) == 2
    return pack_candidates(found, "k")


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        unpack_candidates(data, "k")
    checked = MAGIC + zlib.crc32(data).to_bytes(4, "little") + data
    with pytest.raises(FormatError):
        unpack_candidates(checked, "k")


@given(st.integers(0, len(stored()) - 1), st.integers(1, 255))
def test_a_changed_byte_is_noticed(place: int, change: int) -> None:
    data = bytearray(stored())
    data[place] ^= change
    with pytest.raises(FormatError):
        unpack_candidates(bytes(data), "k")


@pytest.mark.parametrize("end", [0, 3, 8, 50, -1])
def test_a_cut_off_value_is_refused(end: int) -> None:
    with pytest.raises(FormatError):
        unpack_candidates(stored()[:end], "k")


def test_a_value_of_another_key_is_refused() -> None:
    with pytest.raises(FormatError, match="another key"):
        unpack_candidates(stored(), "other")


def test_candidates_are_checked() -> None:
    boxes, labels = np.zeros((1, 4), np.float32), np.zeros(1, np.int64)
    low = np.array([0.01], np.float32)
    with pytest.raises(ValueError, match="floor"):
        Candidates(SAME, None, boxes, low, labels, None, 0.05, 300)
    with pytest.raises(ValueError, match="at most 0"):
        Candidates(SAME, None, boxes, low, labels, None, 0.0, 0)
    with pytest.raises(ValueError, match="frame"):
        Candidates(SAME, "box", boxes, low, labels, None, 0.0, 300)
    with pytest.raises(ValueError, match="not within"):
        MaskCells(np.zeros((3, 3), np.float32), 1, 0, 3, 3)
