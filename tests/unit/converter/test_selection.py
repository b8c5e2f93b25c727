"""Selection in the graph against the same in plain numpy, on random candidates."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from converter.contracts.selection import select_anchors, top_rows, xyxy_from_centres

LEAST, IOU, MOST = 0.2, 0.5, 12
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


@pytest.fixture(scope="module")
def selection() -> ov.CompiledModel:
    """centres [A,4] and scores [C,A], of any A and C -> boxes, labels, anchors."""
    centres = ops.parameter([-1, 4], np.float32)
    scores = ops.parameter([-1, -1], np.float32)
    corners = xyxy_from_centres(centres.output(0))
    found = select_anchors(corners, scores.output(0), LEAST, IOU, MOST)
    model = ov.Model([ops.result(tensor) for tensor in found], [centres, scores], "selection")
    return ov.compile_model(model, "CPU", F32)


def overlap(one: np.ndarray, others: np.ndarray) -> np.ndarray:
    low, high = np.maximum(one[:2], others[:, :2]), np.minimum(one[2:], others[:, 2:])
    inner = np.prod(np.clip(high - low, 0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1)
    return inner / (np.prod(one[2:] - one[:2]) + areas - inner)


def expected(centres: np.ndarray, scores: np.ndarray) -> list[tuple[int, int]]:
    """(anchor, class) of what stays, best first."""
    half = centres[:, 2:] / 2
    corners = np.concatenate([centres[:, :2] - half, centres[:, :2] + half], axis=1)
    labels, best = scores.argmax(axis=0), scores.max(axis=0)
    kept: list[int] = []
    for anchor in np.argsort(-best, kind="stable"):
        if best[anchor] <= LEAST:
            break
        rivals = [other for other in kept if labels[other] == labels[anchor]]
        if not rivals or overlap(corners[anchor], corners[rivals]).max() <= IOU:
            kept.append(int(anchor))
    return [(anchor, int(labels[anchor])) for anchor in kept[:MOST]]


@pytest.mark.parametrize("seed", range(20))
def test_random_candidates(selection: ov.CompiledModel, seed: int) -> None:
    random = np.random.default_rng(seed)
    anchors, classes = int(random.integers(1, 200)), int(random.integers(1, 6))
    centres = random.uniform(20, 80, (anchors, 4)).astype(np.float32)
    centres[:, 2:] = random.uniform(10, 40, (anchors, 2))
    scores = (random.uniform(0, 1, (classes, anchors)) ** 2).astype(np.float32)
    boxes, labels, chosen = selection([centres, scores]).values()
    assert list(zip(chosen.tolist(), labels.tolist(), strict=True)) == expected(centres, scores)
    np.testing.assert_array_equal(boxes[:, 4], scores.max(axis=0)[chosen])
    np.testing.assert_allclose(boxes[:, 2] - boxes[:, 0], centres[chosen, 2], atol=1e-4)


def test_no_candidates(selection: ov.CompiledModel) -> None:
    centres = np.full((5, 4), 10.0, np.float32)
    boxes, labels, chosen = selection([centres, np.zeros((3, 5), np.float32)]).values()
    assert (boxes.shape, labels.shape, chosen.shape) == ((0, 5), (0,), (0,))


@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_top_rows(count: int) -> None:
    scores = ops.parameter([-1], np.float32)
    model = ov.Model([ops.result(top_rows(scores.output(0), 3))], [scores], "top")
    values = np.array([0.1, 0.9, 0.5, 0.7, 0.3], np.float32)[:count]
    (found,) = ov.compile_model(model, "CPU", F32)([values]).values()
    assert found.tolist() == np.argsort(-values)[:3].tolist()
