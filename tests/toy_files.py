"""Tiny ONNX and TensorFlow files, written byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from wire import message


def onnx_detector(path: Path, *, clipped: bool = False) -> Path:
    """An ONNX file with Model API's boxes [2,5] and labels [2], whatever image goes in.

    `clipped`: the boxes come through toy.ClipBoxes(limit=50), which no runtime knows.
    """
    boxes = np.array([[-5, 10, 20, 900, 0.9], [1, 2, 3, 4, 0.8]], np.float32)
    limit = message((1, "limit"), (2, 50.0), (20, 1))
    keep = (5, message((1, "keepdims"), (3, 0), (20, 2)))
    clip = [(5, limit), (7, "toy")]
    last = (
        _node("ClipBoxes", ["raw"], "boxes", *clip)
        if clipped
        else (_node("Identity", ["raw"], "boxes"))
    )
    graph = message(
        (1, _node("ReduceMax", ["image"], "brightest", keep)),
        (1, _node("Mul", ["brightest", "zero"], "nothing")),
        (1, _node("Add", ["table", "nothing"], "raw")),
        (1, last),
        (1, _node("Identity", ["classes"], "labels")),
        (2, "toy"),
        (5, _tensor("zero", np.array(0, np.float32))),
        (5, _tensor("table", boxes)),
        (5, _tensor("classes", np.array([0, 1], np.int64))),
        (11, _port("image", 1, 1, 3, "h", "w")),
        (12, _port("boxes", 1, 2, 5)),
        (12, _port("labels", 7, 2)),
    )
    opsets = [(8, message((1, ""), (2, 13))), (8, message((1, "toy"), (2, 1)))]
    path.write_bytes(message((1, 8), (2, "toy"), (7, graph), *opsets))
    return path


def _tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"float32": 1, "int64": 7}[values.dtype.name]
    dims = [(1, size) for size in values.shape]
    return message(*dims, (2, kind), (8, name), (9, values.tobytes()))


def _port(name: str, kind: int, *dims: int | str) -> bytes:
    shape = message(*((1, message((1, d) if isinstance(d, int) else (2, d))) for d in dims))
    return message((1, name), (2, message((1, message((1, kind), (2, shape))))))


def _node(op: str, inputs: list[str], output: str, *more: tuple[int, bytes | str]) -> bytes:
    return message(*((1, each) for each in inputs), (2, output), (4, op), *more)


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
