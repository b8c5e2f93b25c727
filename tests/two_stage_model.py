"""A two-stage model whose weights are written down, and scenes that it reads.

It finds squares in red, green and blue. Boxes are computed as Detectron2 does
(modeling/box_regression.py, `Box2BoxTransform`), and bright walls are proposed as wild boxes, which
the second stage refuses, as it happens in trained models. Proposals are filled up with empty boxes,
and each takes its features from the level of the pyramid that fits its size, as in the TensorFlow
Object Detection API (utils/ops.py, `fpn_feature_levels`).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops
from toy_model import toy_contract

from backend.runtime.contract import write_contract

LABELS = ("red", "green", "blue")
STRIDE = 4
SIZES = (20, 32, 48)
_ANCHORS = (*SIZES, 48)  # the last for walls
_CHANNELS = 16
_GREY = 3
_PROPOSALS = 40
_LOG_LIMIT = math.log(1000 / 16)
F32 = npt.NDArray[np.float32]


def draw_scene(seed: int, size: int = 1024) -> npt.NDArray[np.uint8]:
    """Some squares on grey patches, u8 [size, size, 3]."""
    random = np.random.default_rng(seed)
    grey = random.integers(0, 140, (8, 8)).repeat(size // 8, 0).repeat(size // 8, 1)
    image = np.repeat(grey[..., None], 3, axis=2).astype(np.float64)
    places = size // 100
    for number, place in enumerate(random.permutation(places * places)[:12].tolist()):
        side = SIZES[number % 3]
        x = place % places * 100 + int(random.integers(20, 50))
        y = place // places * 100 + int(random.integers(20, 50))
        image[y : y + side, x : x + side] = 0
        image[y : y + side, x : x + side, random.integers(0, 3)] = random.integers(235, 256)
    image += random.normal(0, 4, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8)


def save_two_stage_model(path: Path) -> Path:
    """Write the IR, with the facts of the contract."""
    image = ops.parameter([1, -1, -1, 3], np.uint8, name="image")
    image.output(0).set_names({"image"})
    features = _backbone(image)
    height, width = _size(image)
    anchors = _anchors(features)
    proposals = _filled_up(_proposals(features, anchors, height, width))
    boxes, scores, labels = _heads(features, proposals, height, width)
    masks = _masks(features, boxes)
    rows = ops.concat([boxes, ops.unsqueeze(scores, np.int64(1))], 1)
    results = []
    for name, node in {"boxes": rows, "labels": labels, "masks": masks}.items():
        result = ops.result(node)
        result.output(0).set_names({name})
        results.append(result)
    model = ov.Model(results, [image], "two-stage")
    write_contract(model, toy_contract(LABELS, name="two-stage"))
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def _conv(x: ov.Node, weights: F32, stride: int, bias: F32 | None = None) -> ov.Node:
    pad = [weights.shape[2] // 2] * 2
    out = ops.convolution(x, ops.constant(weights), [stride] * 2, pad, pad, [1, 1])
    if bias is not None:
        out = ops.add(out, ops.constant(bias.reshape(1, -1, 1, 1)))
    return out


def _backbone(image: ov.Node) -> ov.Node:
    """[1, 16, H/4, W/4]: red, green, blue, grey, and twelve mixtures that are nearly nothing."""
    random = np.random.default_rng(7)
    x = ops.transpose(ops.convert(image, "f32"), ops.constant([0, 3, 1, 2]))
    x = ops.divide(x, np.float32(255))
    first = random.normal(0, 0.02, (_CHANNELS, 3, 3, 3)).astype(np.float32)
    first[:3] = -0.5 / 9
    for colour in range(3):
        first[colour, colour] = 1 / 9
    first[_GREY] = 1 / 27
    x = ops.relu(_conv(x, first, 2))
    for number in range(2):
        weights = random.normal(0, 0.01, (_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
        weights[:4] = 0
        for channel in range(4):
            weights[channel, channel] = 1 / 9
        if number == 0:
            weights[_GREY, :3] = -0.5 / 9
        x = ops.relu(_conv(x, weights, 2 - number))
    return x


def _size(image: ov.Node) -> tuple[ov.Node, ov.Node]:
    shape = ops.convert(ops.shape_of(image), "f32")
    return tuple(ops.gather(shape, ops.constant(axis), ops.constant(0)) for axis in (1, 2))


def _anchors(features: ov.Node) -> ov.Node:
    """[cells * 4, 4], centred on the cells."""
    shape = ops.shape_of(features)
    sides = []
    for axis in (2, 3):
        count = ops.gather(shape, ops.constant(axis), ops.constant(0))
        steps = ops.range(ops.constant(0), count, ops.constant(1), "f32")
        sides.append(ops.multiply(ops.add(steps, np.float32(0.5)), np.float32(STRIDE)))
    cells = ops.concat(
        [ops.gather(shape, ops.constant([axis]), ops.constant(0)) for axis in (2, 3)], 0
    )
    y = ops.broadcast(ops.unsqueeze(sides[0], np.int64(1)), cells)
    x = ops.broadcast(ops.unsqueeze(sides[1], np.int64(0)), cells)
    centre = [ops.reshape(v, ops.constant([-1, 1, 1]), False) for v in (x, y, x, y)]
    centre = ops.concat(centre, 2)
    half = np.array(_ANCHORS, np.float32)[None, :, None] / 2 * np.array([-1, -1, 1, 1], np.float32)
    return ops.reshape(ops.add(centre, ops.constant(half)), ops.constant([-1, 4]), False)


def _proposals(features: ov.Node, anchors: ov.Node, height: ov.Node, width: ov.Node) -> ov.Node:
    """[P, 4]: squares where the inside has a colour and the surroundings have none."""
    objectness = np.zeros((len(_ANCHORS), _CHANNELS, 19, 19), np.float32)
    objectness[-1, _GREY, 9, 9] = 1.5
    for i, size in enumerate(SIZES):
        cells = size / STRIDE / 2
        ruler = np.abs(np.arange(19) - 9)
        inside = np.maximum(ruler[:, None], ruler[None]) <= cells - 0.5
        far = np.maximum(ruler[:, None], ruler[None])
        ring = (far >= cells + 1) & (far < cells + 2.5)
        objectness[i, :3] = inside / inside.sum() - ring / ring.sum()
    scores = _conv(features, objectness, 1, np.full(len(_ANCHORS), -0.55, np.float32))
    scores = ops.sigmoid(ops.multiply(scores, np.float32(20)))
    scores = ops.reshape(
        ops.transpose(scores, ops.constant([0, 2, 3, 1])), ops.constant([-1]), False
    )
    regress = np.random.default_rng(8).normal(0, 0.02, (16, _CHANNELS, 1, 1)).astype(np.float32)
    regress[-2:, _GREY] = 14
    deltas = _conv(features, regress, 1)
    deltas = ops.reshape(
        ops.transpose(deltas, ops.constant([0, 2, 3, 1])), ops.constant([-1, 4]), False
    )
    boxes = _clip(_apply(anchors, deltas), height, width)
    kept, _ = _suppress(
        boxes, ops.reshape(scores, ops.constant([1, -1]), False), _PROPOSALS - 10, 0.4, 0.5
    )
    return ops.gather(boxes, kept, ops.constant(0))


def _filled_up(boxes: ov.Node) -> ov.Node:
    """[40, 4], the last of them empty."""
    boxes = ops.concat([boxes, ops.constant(np.zeros((_PROPOSALS, 4), np.float32))], 0)
    first, last = ops.constant([0]), ops.constant([_PROPOSALS])
    return ops.slice(boxes, first, last, ops.constant([1]), ops.constant([0]))


def _apply(boxes: ov.Node, deltas: ov.Node) -> ov.Node:
    """Boxes [N, 4] moved and stretched by deltas [N, 4] (dx, dy, dw, dh)."""
    x1, y1, x2, y2 = (ops.gather(boxes, ops.constant([i]), ops.constant(1)) for i in range(4))
    dx, dy, dw, dh = (ops.gather(deltas, ops.constant([i]), ops.constant(1)) for i in range(4))
    w, h = ops.subtract(x2, x1), ops.subtract(y2, y1)
    x, y = (
        ops.add(x1, ops.multiply(w, np.float32(0.5))),
        ops.add(y1, ops.multiply(h, np.float32(0.5))),
    )
    x, y = ops.add(ops.multiply(dx, w), x), ops.add(ops.multiply(dy, h), y)
    w = ops.multiply(ops.exp(ops.minimum(dw, np.float32(_LOG_LIMIT))), w)
    h = ops.multiply(ops.exp(ops.minimum(dh, np.float32(_LOG_LIMIT))), h)
    half_w, half_h = ops.multiply(w, np.float32(0.5)), ops.multiply(h, np.float32(0.5))
    corners = [
        ops.subtract(x, half_w),
        ops.subtract(y, half_h),
        ops.add(x, half_w),
        ops.add(y, half_h),
    ]
    return ops.concat(corners, 1)


def _clip(boxes: ov.Node, height: ov.Node, width: ov.Node) -> ov.Node:
    limits = ops.unsqueeze(
        ops.concat([ops.unsqueeze(v, np.int64(0)) for v in (width, height, width, height)], 0),
        np.int64(0),
    )
    return ops.minimum(ops.relu(boxes), limits)


def _suppress(
    boxes: ov.Node, scores: ov.Node, most: int, overlap: float, lowest: float
) -> tuple[ov.Node, ov.Node]:
    """Rows and classes that stay. `boxes` [N, 4]; `scores` [C, N]."""
    found = ops.non_max_suppression(
        ops.unsqueeze(boxes, np.int64(0)),
        ops.unsqueeze(scores, np.int64(0)),
        ops.constant(most, np.int64),
        ops.constant(overlap, np.float32),
        ops.constant(lowest, np.float32),
        box_encoding="corner",
        sort_result_descending=True,
        output_type="i64",
    ).output(0)
    return tuple(
        ops.squeeze(ops.gather(found, ops.constant([i]), ops.constant(1)), ops.constant(1))
        for i in (2, 1)
    )


def _regions(features: ov.Node, boxes: ov.Node, cells: int, stride: int = STRIDE) -> ov.Node:
    """[N, 16, cells, cells]."""
    count = ops.gather(ops.shape_of(boxes), ops.constant([0]), ops.constant(0))
    batch = ops.broadcast(ops.constant(0, np.int64), count)
    return ops.roi_align(
        features, boxes, batch, cells, cells, 2, np.float32(1 / stride), "avg", "half_pixel"
    )


def _pyramid_regions(features: ov.Node, boxes: ov.Node) -> ov.Node:
    """[N, 16, 7, 7]: of the fine level, which sees small squares alone, or of the coarse one."""
    contrast = np.full((_CHANNELS, 1, 1, 11, 11), -0.8 / 121, np.float32)
    contrast[..., 5, 5] += 1
    fine = ops.group_convolution(features, ops.constant(contrast), [1, 1], [5, 5], [5, 5], [1, 1])
    fine = _regions(ops.relu(fine), boxes, 7)
    coarse = ops.avg_pool(features, [2, 2], [0, 0], [0, 0], [2, 2], True)
    coarse = _regions(coarse, boxes, 7, 2 * STRIDE)
    x1, y1, x2, y2 = (ops.gather(boxes, ops.constant([i]), ops.constant(1)) for i in range(4))
    size = ops.sqrt(ops.multiply(ops.subtract(x2, x1), ops.subtract(y2, y1)))
    octaves = ops.floor(
        ops.divide(ops.log(ops.divide(size, np.float32(13))), np.float32(np.log(2)))
    )
    level = ops.maximum(ops.minimum(ops.convert(octaves, "i32"), np.int32(1)), np.int32(0))
    is_fine = ops.equal(ops.reshape(level, ops.constant([-1, 1, 1, 1]), False), np.int32(0))
    return ops.select(is_fine, fine, coarse)


def _heads(
    features: ov.Node, proposals: ov.Node, height: ov.Node, width: ov.Node
) -> tuple[ov.Node, ov.Node, ov.Node]:
    """Boxes [N, 4], scores [N], labels [N]."""
    random = np.random.default_rng(9)
    regions = _pyramid_regions(features, proposals)
    weights = random.normal(0, 0.01, (_CHANNELS, _CHANNELS, 3, 3)).astype(np.float32)
    weights[:4] = 0
    for channel in range(4):
        weights[channel, channel, 1, 1] = 1
    hidden = ops.relu(_conv(regions, weights, 1))
    hidden = ops.reduce_mean(hidden, ops.constant([2, 3]), False)
    classes = np.zeros((_CHANNELS, 4), np.float32)
    classes[range(3), range(3)] = 40
    bias = np.array([[0, 0, 0, 17]], np.float32)
    logits = ops.add(ops.matmul(hidden, ops.constant(classes), False, False), ops.constant(bias))
    scores = ops.softmax(logits, 1)
    scores = ops.slice(
        scores, ops.constant([0]), ops.constant([3]), ops.constant([1]), ops.constant([1])
    )
    regress = random.normal(0, 0.05, (_CHANNELS, 4)).astype(np.float32)
    deltas = ops.matmul(hidden, ops.constant(regress), False, False)
    boxes = _clip(_apply(proposals, deltas), height, width)
    kept, labels = _suppress(boxes, ops.transpose(scores, ops.constant([1, 0])), 30, 0.5, 0.05)
    pairs = ops.concat([ops.unsqueeze(kept, np.int64(1)), ops.unsqueeze(labels, np.int64(1))], 1)
    return ops.gather(boxes, kept, ops.constant(0)), ops.gather_nd(scores, pairs), labels


def _masks(features: ov.Node, boxes: ov.Node) -> ov.Node:
    """[N, 14, 14]: where there is a colour."""
    weights = np.zeros((1, _CHANNELS, 3, 3), np.float32)
    weights[0, :3] = 20 / 9
    logits = _conv(_regions(features, boxes, 14), weights, 1, np.array([-8], np.float32))
    return ops.sigmoid(ops.squeeze(logits, ops.constant([1])))
