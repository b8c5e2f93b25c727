"""Tiny foreign models, built in code: known rows come out of them, whatever image goes in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from wire import message

# One row: (ymin, xmin, ymax, xmax) as fractions, score, class value
OdRow = tuple[tuple[float, float, float, float], float, float]
# One row: (x1, y1, x2, y2) in pixels of the input, score, label
ApiRow = tuple[tuple[float, float, float, float], float, int]


def od_api_model(
    rows: Sequence[OdRow],
    count: int | None = None,
    *,
    masks: bool = True,
    shape: Sequence[int] = (1, -1, -1, 3),
) -> ov.Model:
    """Outputs as the TensorFlow Object Detection API names them; the first `count` rows are real.

    Row i has a mask of 2x2 cells that are all i / 10. One more output stands for what real exports
    have besides.
    """
    n = len(rows)
    image = _parameter("image_tensor:0", shape, np.uint8)
    outputs = {
        "raw_detection_boxes:0": np.zeros((1, 3, 4), np.float32),
        "detection_classes:0": np.array([[r[2] for r in rows]], np.float32).reshape(1, n),
        "detection_boxes:0": np.array([[r[0] for r in rows]], np.float32).reshape(1, n, 4),
        "detection_scores:0": np.array([[r[1] for r in rows]], np.float32).reshape(1, n),
        "num_detections:0": np.array([n if count is None else count], np.float32),
    }
    if masks:
        cells = np.arange(n, dtype=np.float32).reshape(1, n, 1, 1) / 10
        outputs["detection_masks:0"] = np.broadcast_to(cells, (1, n, 2, 2)).copy()
    return _model(image, outputs)


def model_api_model(
    rows: Sequence[ApiRow],
    *,
    masks: bool = True,
    shape: Sequence[int] = (1, 3, -1, -1),
    label_type: type = np.int64,
    dynamic_rows: bool = True,
) -> ov.Model:
    """Outputs as Open Model Zoo and Model API name them; row i has a 2x2 mask of i / 10."""
    n = len(rows)
    image = _parameter("image", shape, np.float32)
    outputs = {
        "labels": np.array([r[2] for r in rows], label_type),
        "boxes": np.array([[*r[0], r[1]] for r in rows], np.float32).reshape(n, 5),
        "feature_vector": np.zeros((1, 4), np.float32),
    }
    if masks:
        cells = np.arange(n, dtype=np.float32).reshape(n, 1, 1) / 10
        outputs["masks"] = np.broadcast_to(cells, (n, 2, 2)).copy()
    return _model(image, outputs, dynamic=("labels", "boxes", "masks") if dynamic_rows else ())


def seeing_model(shape: Sequence[int] = (1, 3, -1, -1)) -> ov.Model:
    """A model-api detector whose one box is the first pixel as its graph sees it.

    boxes = [[c0, c1, c2, H, 0.5]]: the input's channels at row 0, column 0, and its height.
    """
    image = _parameter("image", shape, np.float32)
    pixel = ops.reshape(
        ops.slice(image, [0, 0, 0, 0], [1, 3, 1, 1], [1, 1, 1, 1]), np.array([3]), False
    )
    height = ops.gather(ops.shape_of(image), np.array([2]), np.int64(0))
    boxes = ops.concat([pixel, ops.convert(height, "f32"), ops.constant([0.5], np.float32)], 0)
    zero = ops.convert(
        ops.multiply(ops.gather(boxes, np.array([0]), np.int64(0)), np.float32(0)), "i64"
    )
    return ov.Model(
        [
            _result("boxes", ops.reshape(boxes, np.array([1, 5]), False)),
            _result("labels", zero),
        ],
        [image],
        "seeing",
    )


def _parameter(name: str, shape: Sequence[int], kind: type) -> ov.Node:
    image = ops.parameter(ov.PartialShape(list(shape)), kind)
    image.output(0).set_names({name})
    return image


def _model(image: ov.Node, outputs: dict[str, np.ndarray], dynamic: Sequence[str] = ()) -> ov.Model:
    # The results hang on the image, so that nothing is folded away before inference.
    seen = ops.reduce_max(ops.convert(image, "f32"), np.array([0, 1, 2, 3]), keep_dims=False)
    zero = ops.multiply(seen, np.float32(0))
    results = []
    for name, value in outputs.items():
        node = ops.add(ops.constant(value), ops.convert_like(zero, ops.constant(value)))
        if name in dynamic:
            # A number of rows that the shape does not tell.
            rows = ops.add(np.int64(len(value)), ops.convert(zero, "i64"))
            every = ops.range(np.int64(0), rows, np.int64(1), "i64")
            node = ops.gather(node, every, np.int64(0))
        results.append(_result(name, node))
    return ov.Model(results, [image], "foreign")


def _result(name: str, node: ov.Node) -> ov.Node:
    result = ops.result(node)
    result.output(0).set_names({name})
    return result


def scaling_graph(path: Path) -> Path:
    """A frozen TensorFlow graph x [?] -> ToyScale(factor=3) -> z, an operation nobody knows."""
    of_floats = message((6, 1))  # DT_FLOAT
    kind = (5, message((1, "T"), (2, of_floats)))
    shape = message((7, message((2, message((1, -1))))))
    placeholder = message(
        (1, "x"),
        (2, "Placeholder"),
        (5, message((1, "dtype"), (2, of_floats))),
        (5, message((1, "shape"), (2, shape))),
    )
    factor = (5, message((1, "factor"), (2, message((4, 3.0)))))
    scaled = message((1, "y"), (2, "ToyScale"), (3, "x"), factor, kind)
    result = message((1, "z"), (2, "Identity"), (3, "y"), kind)
    path.write_bytes(message((1, placeholder), (1, scaled), (1, result), (4, message((1, 1882)))))
    return path
