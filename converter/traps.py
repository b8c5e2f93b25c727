"""What OpenVINO's CPU plugin gets wrong without an error: repaired in the graph, or named.

Each was seen with OpenVINO 2026.4.1; tests/integration/test_traps.py shows each one.
"""

from __future__ import annotations

from collections.abc import Iterator

import openvino as ov
import openvino.opset13 as ops

from converter import graph

_REDUCTIONS = ("ReduceMin", "ReduceMax", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1")
# What the plugin may fuse onto a reduction, or removes between it and what it fuses.
_FUSED = (
    *("Add", "Subtract", "Multiply", "Divide", "Maximum", "Minimum", "Negative", "Abs", "Power"),
    *("Convert", "Squeeze", "Unsqueeze", "Reshape", "Gather"),
)


def repair_traps(model: ov.Model) -> tuple[str, ...]:
    """Change the graph where it would fail on the CPU; returns a sentence for each kind found.

    The numbers that the graph stands for stay the same. `model` must be valid (types and shapes
    inferred).
    """
    nodes = [node for each in _with_bodies(model) for node in each.get_ordered_ops()]
    kinds = (
        _batched_gathers(nodes),
        _integer_divisions(nodes),
        _rounded_scales(nodes),
        _border_crops(nodes),
    )
    said = tuple(sentence for found in kinds for sentence in found)
    model.validate_nodes_and_infer_types()
    return said


def _with_bodies(model: ov.Model) -> Iterator[ov.Model]:
    """The model and the bodies of its loops and branches."""
    yield model
    for node in model.get_ordered_ops():
        kind = node.get_type_name()
        if kind in ("Loop", "TensorIterator"):
            yield from _with_bodies(node.get_function())
        elif kind == "If":
            for branch in (0, 1):
                yield from _with_bodies(node.get_function(branch))


def _batched_gathers(nodes: list[ov.Node]) -> Iterator[str]:
    """Gather with batch_dims reads beyond its data: a crash, or wrong values.

    Seen where the batch is statically 1 and a row has 2 to 16 elements. GatherND says the same and
    is sound.
    """
    repaired = left = 0
    for node in nodes:
        if node.get_type_name() != "Gather":
            continue
        axis, batch_dims = _axis(node), int(node.get_attributes().get("batch_dims", 0))
        if batch_dims == 0:
            continue
        rank = node.input_value(0).get_partial_shape().rank
        if axis is not None and axis < 0 and rank.is_static:
            axis += rank.get_length()
        if axis != batch_dims:
            left += 1
            continue
        indices = ops.unsqueeze(node.input_value(1), ops.constant([-1], graph.I64))
        sound = ops.gather_nd(node.input_value(0), indices, batch_dims)
        _take_over(node, sound)
        repaired += 1
    if repaired:
        yield (
            f"trap Gather batch_dims: {repaired} Gather operations, with which OpenVINO's CPU "
            "plugin can crash, were replaced by GatherND"
        )
    if left:
        yield (
            f"trap Gather batch_dims: {left} Gather operations on an inner axis were left as they "
            "are, since no fault of OpenVINO's CPU plugin was seen with such"
        )


def _axis(gather: ov.Node) -> int | None:
    axis = gather.input_value(2).node
    return int(axis.get_data().flatten()[0]) if axis.get_type_name() == "Constant" else None


def _integer_divisions(nodes: list[ov.Node]) -> Iterator[str]:
    """An integer division behind an integer reduction is fused into it: rounded, or inverted.

    (480 + 31) / 32 becomes 16. A reduction in f32 with a conversion behind it is not fused; whole
    numbers up to 2^24 stay exact.
    """
    repaired = 0
    for node in nodes:
        if node.get_type_name() not in _REDUCTIONS or not _reaches_division(node):
            continue
        kind = node.get_output_element_type(0).to_string()
        readers = list(node.output(0).get_target_inputs())
        names = node.output(0).get_names()
        node.input(0).replace_source_output(ops.convert(node.input_value(0), "f32").output(0))
        node.validate_and_infer_types()
        whole = ops.convert(node.output(0), kind)
        _name(whole, names, node)
        for reader in readers:
            reader.replace_source_output(whole.output(0))
        repaired += 1
    if repaired:
        yield (
            f"trap shape arithmetic: {repaired} integer reductions with a division behind them, "
            "which OpenVINO's CPU plugin rounds or inverts, were taken apart"
        )


def _reaches_division(reduction: ov.Node) -> bool:
    seen, waiting = {reduction.get_name()}, [reduction]
    while waiting:
        node = waiting.pop()
        if not node.get_output_element_type(0).is_integral_number():
            continue
        if node.get_type_name() == "Divide":
            return True
        for reader in node.output(0).get_target_inputs():
            next_node = reader.get_node()
            name = next_node.get_name()
            if next_node.get_type_name() in _FUSED and name not in seen:
                seen.add(name)
                waiting.append(next_node)
    return False


def _rounded_scales(nodes: list[ov.Node]) -> Iterator[str]:
    """A scale that the graph computes for its own resize is rounded at bf16, and the size with it.

    Sizes, computed the same way, stay whole. A size in place of the scale would also change where
    pixels are taken from, so that nothing is repaired.
    """
    resizes = sum(
        node.get_type_name() == "Interpolate"
        and node.get_attributes().get("shape_calculation_mode") == "scales"
        and any(node.input_value(i).node.get_type_name() != "Constant" for i in _scale_inputs(node))
        for node in nodes
    )
    if resizes:
        yield (
            f"trap resize by a computed scale: {resizes} Interpolate operations can be off by a "
            "pixel where the device computes in bf16; --precision f32 keeps them exact"
        )


def _scale_inputs(interpolate: ov.Node) -> list[int]:
    """Interpolate-11 has the scales at 1; Interpolate-4 has sizes at 1 and scales at 2."""
    floating = [
        index
        for index in range(1, interpolate.get_input_size())
        if interpolate.get_input_element_type(index).is_real()
    ]
    return floating[:1]


def _border_crops(nodes: list[ov.Node]) -> Iterator[str]:
    """TensorFlow's CropAndResize gives zeros for some boxes that end at the border, OpenVINO not.

    A rounding error puts TensorFlow's last row or column outside the image (2-7 % of such boxes).
    OpenVINO's values are what the formula means, so nothing is repaired; numbers differ there.
    """
    crops = sum(
        node.get_type_name() == "ROIPooling" and node.get_attributes().get("method") == "bilinear"
        for node in nodes
    )
    if crops:
        yield (
            f"trap CropAndResize: for boxes that end exactly at the image's border, {crops} "
            "CropAndResize operations can differ from TensorFlow, which sometimes gives zeros there"
        )


def _take_over(old: ov.Node, new: ov.Node) -> None:
    """Let `new` stand where `old` stood, under its names."""
    names = old.output(0).get_names()
    readers = list(old.output(0).get_target_inputs())
    _name(new, names, old)
    for reader in readers:
        reader.replace_source_output(new.output(0))


def _name(new: ov.Node, names: set[str], old: ov.Node) -> None:
    old.output(0).tensor.set_names(set())
    new.output(0).tensor.set_names(names)
