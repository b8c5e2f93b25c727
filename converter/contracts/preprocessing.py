"""Type, layout, channel order, mean and scale inside the graph, exactly."""

from __future__ import annotations

from typing import Literal

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.errors import ConversionError
from converter import graph
from converter.contracts.family import Preprocessing


def input_size(model: ov.Model) -> tuple[ov.Dimension, ov.Dimension]:
    """Height and width of the image input. Raises ConversionError where it is no image."""
    shape = graph.single_input(model).get_partial_shape()
    first = 1 if _layout(model) == "NHWC" else 2
    return shape[first], shape[first + 1]


def is_nchw(model: ov.Model) -> bool:
    """Whether the channels stand before height and width. Raises ConversionError as above."""
    return _layout(model) == "NCHW"


def embed_preprocessing(model: ov.Model, given: Preprocessing) -> tuple[str, ...]:
    """Change the input to u8 [1,H,W,3] RGB, and let the graph make of it what it wants.

    Returns sentences on what was assumed. Raises ConversionError.
    """
    layout = _layout(model)
    _check_channels("--mean-values", given.mean_values)
    _check_channels("--scale-values", given.scale_values)
    if 0.0 in given.scale_values:
        raise ConversionError("--scale-values must not be 0.")
    image = model.input(0)
    kind = image.get_element_type()
    height, width = input_size(model)
    readers = list(image.get_target_inputs())
    image.node.set_element_type(ov.Type.u8)
    image.node.set_partial_shape(ov.PartialShape([ov.Dimension(1), height, width, ov.Dimension(3)]))
    image.node.validate_and_infer_types()
    prepared = _prepare(image, layout, given)
    if prepared.get_element_type() != kind:
        prepared = ops.convert(prepared, kind.to_string()).output(0)
    for reader in readers:
        reader.replace_source_output(prepared)
    model.validate_nodes_and_infer_types()
    assumed = []
    if given.color_order is None:
        assumed.append("the model takes BGR, as Open Model Zoo's do: --color-order bgr")
    if not (given.mean_values or given.scale_values or given.embedded):
        assumed.append("the model takes 0..255 without mean and scale")
    return tuple(assumed)


def _prepare(image: ov.Output, layout: str, given: Preprocessing) -> ov.Output:
    order = given.color_order or "bgr"
    if layout == "NHWC" and order == "rgb" and not given.mean_values and not given.scale_values:
        return image
    pixels = ops.convert(image, "f32").output(0)
    channel_axis = 3
    if layout == "NCHW":
        pixels = ops.transpose(pixels, ops.constant([0, 3, 1, 2], graph.I64)).output(0)
        channel_axis = 1
    if order == "bgr":
        # A Gather here would be fused into the first convolution, whose sums then round otherwise:
        # harmless for most, but near-ties among proposals fall the other way. Slices stay.
        planes = [_plane(pixels, channel_axis, index) for index in (2, 1, 0)]
        pixels = ops.concat(planes, channel_axis).output(0)
    if given.mean_values:
        pixels = ops.subtract(pixels, _per_channel(given.mean_values, channel_axis)).output(0)
    if given.scale_values:
        pixels = ops.divide(pixels, _per_channel(given.scale_values, channel_axis)).output(0)
    return pixels


def _plane(pixels: ov.Output, axis: int, index: int) -> ov.Output:
    start, stop, step, axes = (ops.constant([v], graph.I64) for v in (index, index + 1, 1, axis))
    return ops.slice(pixels, start, stop, step, axes).output(0)


def _per_channel(values: tuple[float, ...], axis: int) -> ov.Node:
    shape = [1, 1, 1, 1]
    shape[axis] = len(values)
    return ops.constant(np.array(values, np.float32).reshape(shape))


def _layout(model: ov.Model) -> Literal["NCHW", "NHWC"]:
    image = graph.single_input(model)
    shape = image.get_partial_shape()
    said = str(image.node.layout).strip("[]").replace(",", "")  # --layout
    if said in ("NCHW", "NHWC") and len(shape) == 4 and shape[0].compatible(ov.Dimension(1)):
        return "NCHW" if said == "NCHW" else "NHWC"
    three = ov.Dimension(3)
    if not shape.rank.is_dynamic and len(shape) == 4 and shape[0].compatible(ov.Dimension(1)):
        if shape[1] == three and shape[3] != three:
            return "NCHW"
        if shape[3] == three and shape[1] != three:
            return "NHWC"
    raise ConversionError(
        f"the input is {graph.describe_ports([image])}, but must be an image [1,3,H,W] or "
        "[1,H,W,3]: export the model with such an input."
    )


def _check_channels(option: str, values: tuple[float, ...]) -> None:
    if len(values) not in (0, 1, 3):
        raise ConversionError(f"{option} needs one number or three, but got {len(values)}.")
