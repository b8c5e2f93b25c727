"""ONNX files with the interface of well-known exporters, whose outputs are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

Shape = Sequence[int | str]


def save_onnx(
    path: Path,
    image: tuple[str, Shape],
    outputs: Mapping[str, np.ndarray],
    *,
    shapes: Mapping[str, Shape] | None = None,
    seen: Mapping[str, tuple[tuple[int, ...], tuple[int, int, int]]] | None = None,
    metadata: Mapping[str, str] | None = None,
    opset: int = 17,
) -> Path:
    """Write a graph that gives `outputs` whatever the image, but for what is `seen`.

    `image`: its name and shape, f32; names in a shape stand for open sizes. `shapes`: where an
    output's declared shape is not that of its value. `seen`: output name -> (index of one element,
    (channel, y, x) of the pixel whose value, as the graph gets it, is added to that element).
    """
    name, shape = image
    nodes = [
        helper.make_node("ReduceMax", [name], ["highest"], keepdims=0),
        helper.make_node("Mul", ["highest", "zero"], ["nothing"]),
    ]
    constants = {"zero": np.float32(0), "one_axis": np.array([1], np.int64)}
    for key, value in outputs.items():
        constants[f"{key}_value"] = value
        kind = helper.np_dtype_to_tensor_dtype(value.dtype)
        nodes.append(helper.make_node("Cast", ["nothing"], [f"{key}_nothing"], to=kind))
        whole = f"{key}_whole" if seen and key in seen else key
        nodes.append(helper.make_node("Add", [f"{key}_value", f"{key}_nothing"], [whole]))
        if whole != key:
            index, pixel = seen[key]
            constants[f"{key}_from"] = np.array([0, *pixel], np.int64)
            constants[f"{key}_to"] = np.array([0, *pixel], np.int64) + 1
            place = np.zeros(value.shape, np.float32)
            place[index] = 1
            constants[f"{key}_place"] = place
            nodes += [
                helper.make_node("Slice", [name, f"{key}_from", f"{key}_to"], [f"{key}_pixel"]),
                helper.make_node("Reshape", [f"{key}_pixel", "one_axis"], [f"{key}_flat"]),
                helper.make_node("Mul", [f"{key}_place", f"{key}_flat"], [f"{key}_there"]),
                helper.make_node("Add", [whole, f"{key}_there"], [key]),
            ]
    graph = helper.make_graph(
        nodes,
        "main_graph",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))],
        [
            helper.make_tensor_value_info(
                key,
                helper.np_dtype_to_tensor_dtype(value.dtype),
                list((shapes or {}).get(key, value.shape)),
            )
            for key, value in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()],
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="toy", ir_version=9
    )
    helper.set_model_props(model, dict(metadata or {}))
    onnx.save(model, path)
    return path


def onnx_detector(path: Path, *, clipped: bool = False) -> Path:
    """Model API's boxes [2, 5] and labels [2], whatever image goes in.

    `clipped`: the boxes come through toy.ClipBoxes(limit=50), which no runtime knows.
    """
    boxes = np.array([[-5, 10, 20, 900, 0.9], [1, 2, 3, 4, 0.8]], np.float32)
    last = (
        helper.make_node("ClipBoxes", ["raw"], ["boxes"], domain="toy", limit=50.0)
        if clipped
        else helper.make_node("Identity", ["raw"], ["boxes"])
    )
    nodes = [
        helper.make_node("ReduceMax", ["image"], ["brightest"], keepdims=0),
        helper.make_node("Mul", ["brightest", "zero"], ["nothing"]),
        helper.make_node("Add", ["table", "nothing"], ["raw"]),
        last,
        helper.make_node("Identity", ["classes"], ["labels"]),
    ]
    constants = {
        "zero": np.array(0, np.float32), "table": boxes, "classes": np.array([0, 1], np.int64),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "toy",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, "h", "w"])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [2, 5]),
            helper.make_tensor_value_info("labels", TensorProto.INT64, [2]),
        ],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("toy", 1)]
    onnx.save(
        helper.make_model(graph, opset_imports=opsets, producer_name="toy", ir_version=8), path
    )
    return path
