"""Small pieces of graph surgery that the adapters share. All shapes are OpenVINO's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.errors import ConversionError

_HIGHEST_CLASS = 1_000_000

I64 = np.int64


def outputs_by_name(model: ov.Model) -> dict[str, ov.Output]:
    """The model's outputs by every name they have, TensorFlow's ':0' cut off.

    An output may have several names, and two outputs may share one tensor.
    """
    found: dict[str, ov.Output] = {}
    for output in model.outputs:
        producer = output.node.input_value(0).node
        names = set(output.get_names())
        if not names and producer.get_output_size() == 1:
            names = {producer.get_friendly_name()}  # old IRs have no tensor names
        for name in names:
            found.setdefault(name.removesuffix(":0"), output)
    return found


def describe_ports(ports: Sequence[ov.Output]) -> str:
    """`boxes f32 [?,5], labels i64 [?]`: the shortest name, type and shape of each."""
    return ", ".join(
        f"{min(p.get_names() or {'(no name)'}, key=lambda n: (len(n), n))} "
        f"{p.get_element_type().to_string()} {p.get_partial_shape()}"
        for p in ports
    )


def tensor_of(output: ov.Output) -> ov.Output:
    """What a result node shows: the tensor itself, on which surgery goes on."""
    return output.node.input_value(0)


def as_f32(tensor: ov.Output) -> ov.Output:
    """The tensor as f32."""
    if tensor.get_element_type() == ov.Type.f32:
        return tensor
    return ops.convert(tensor, "f32").output(0)


def as_index(tensor: ov.Output) -> ov.Output:
    """The tensor as i64; fractions go to the nearest integer (class values come as 1.988)."""
    if tensor.get_element_type().is_real():
        tensor = ops.round(as_f32(tensor), "half_to_even").output(0)
    if tensor.get_element_type() == ov.Type.i64:
        return tensor
    return ops.convert(tensor, "i64").output(0)


def without_batch(tensor: ov.Output) -> ov.Output:
    """[1, ...] -> [...]."""
    return ops.squeeze(tensor, ops.constant(0, I64)).output(0)


def column(matrix: ov.Output, index: int) -> ov.Output:
    """Column `index` of [N, C], as [N]."""
    return ops.gather(matrix, ops.constant(index, I64), ops.constant(1, I64)).output(0)


def rows(tensor: ov.Output, indices: ov.Output) -> ov.Output:
    """The rows `indices` i64 [K] of [N, ...]; K may be 0."""
    return ops.gather(tensor, indices, ops.constant(0, I64)).output(0)


def true_rows(condition: ov.Output) -> ov.Output:
    """Indices i64 [K] of the true elements of bool [N], ascending."""
    found = ops.non_zero(condition, "i64")  # [1, K]
    return ops.squeeze(found, ops.constant(0, I64)).output(0)


def dense_labels(values: ov.Output, numbers: Sequence[int]) -> ov.Output:
    """Class values i64 [N] -> index into `numbers` i64 [N], -1 where a value is not among them.

    By a table, so that gaps in the numbers (COCO's ids) cost nothing.
    """
    highest = max(numbers)
    if highest > _HIGHEST_CLASS:
        raise ConversionError(f"category id {highest} is above {_HIGHEST_CLASS}: number them anew.")
    # One more entry on each side catches what is below 0 or above the highest number.
    table = np.full(highest + 3, -1, I64)
    for index, number in enumerate(numbers):
        table[number + 1] = index
    position = ops.clamp(ops.add(values, ops.constant(1, I64)), 0, highest + 2)
    return ops.gather(ops.constant(table), position, ops.constant(0, I64)).output(0)


def canonical(
    model: ov.Model, boxes: ov.Output, labels: ov.Output, masks: ov.Output | None
) -> ov.Model:
    """A model with exactly the contract's outputs; everything else falls away.

    `boxes` f32 [N, 5], `labels` i64 [N], `masks` f32 [N, h, w].
    """
    wanted = {"boxes": boxes, "labels": labels} | ({} if masks is None else {"masks": masks})
    for node in model.get_ops():  # a name that stays inside could be one of ours
        for inner in node.outputs():
            inner.tensor.set_names(set())
    results = []
    for name, tensor in wanted.items():
        tensor.tensor.set_names({name})
        result = ops.result(tensor)
        result.set_friendly_name(f"{name}_result")
        results.append(result)
    image = model.input(0)
    image.tensor.set_names({"image"})
    image.node.set_friendly_name("image")
    adapted = ov.Model(results, [image.node], "labelvino")
    adapted.validate_nodes_and_infer_types()
    return adapted


def single_input(model: ov.Model) -> ov.Output:
    """The only input. Raises ConversionError where there are more."""
    if len(model.inputs) != 1:
        raise ConversionError(
            f"the model has {len(model.inputs)} inputs ({describe_ports(model.inputs)}), but only "
            "models with the one input of an image can be converted yet."
        )
    return model.input(0)


def transposed(matrix: ov.Output) -> ov.Output:
    """[A, B] -> [B, A]."""
    return ops.transpose(matrix, ops.constant([1, 0], I64)).output(0)


def inputs_by_name(model: ov.Model) -> dict[str, ov.Output]:
    """The model's inputs by every name they have, TensorFlow's ':0' cut off."""
    found: dict[str, ov.Output] = {}
    for port in model.inputs:
        for name in port.get_names() or {port.node.get_friendly_name()}:  # old IRs name nodes only
            found.setdefault(name.removesuffix(":0"), port)
    return found


def rename_outputs(model: ov.Model, names: Mapping[str, str]) -> None:
    """Outputs that have a tensor name among `names` get the name that stands there besides."""
    added = {
        index: names[old]
        for index, output in enumerate(model.outputs)
        for old in output.get_names() & set(names)
    }
    for index, new in added.items():
        name_output(model, index, new)


def name_output(model: ov.Model, index: int, name: str) -> None:
    """Give an output one more name; a tensor elsewhere that had it loses it."""
    for node in model.get_ops():
        for inner in node.outputs():
            if name in inner.get_names():
                inner.tensor.set_names(inner.get_names() - {name})
    model.outputs[index].tensor.add_names({name})


def add_constant_output(model: ov.Model, name: str, value: npt.NDArray[Any]) -> None:
    """One more output, that is always the same."""
    constant = ops.constant(value)
    constant.output(0).set_names({name})
    model.add_results([ops.result(constant)])
