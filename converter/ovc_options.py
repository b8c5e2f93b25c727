"""What OpenVINO's own converter lets one say of a model's inputs and outputs, under its names.

--input          data[1,3,480,640]: the image input, and its shape; --input-shape is the same shape
--input-shape    [1,3,480,640], [1,3,?,?] or, bounded, [1,3,320..1024,..1024]
--layout         nchw or nhwc, also as [N,C,H,W] or data(nchw)
--output         the outputs that stay, by name; NEW=OLD also gives an output the name NEW

Source: ovc --help of OpenVINO 2026.4, and Model Optimizer's --layout.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import openvino as ov

from backend.runtime.errors import ConversionError
from converter import graph
from converter.sources.source import reason_of

_INPUT = re.compile(r"\s*([^\[\],\s][^\[\],]*)?\s*(\[[^\]]*\])?\s*")
_LAYOUT = re.compile(r"(?:([\w/:.-]+)\()?\s*\[?\s*([A-Za-z?](?:\s*,?\s*[A-Za-z?])*)\s*\]?\s*\)?")
_BOUND = 1 << 31


@dataclass(frozen=True)
class OvcOptions:
    """As they stand in the command; None: not given."""

    input: str | None = None
    input_shape: str | None = None
    layout: str | None = None
    output: str | None = None


def apply_ovc_options(model: ov.Model, options: OvcOptions) -> ov.Model:
    """The model with its outputs chosen and named, its input shaped and its layout said.

    Raises ConversionError for names that the model does not have, and for shapes and layouts that
    make no sense or do not fit.
    """
    if options.output is not None:
        model = _choose_outputs(model, options.output)
    name, shape = _split_input(options.input)
    if options.input_shape is not None:
        if shape is not None:
            raise ConversionError("--input has a shape already: leave out --input-shape.")
        shape = options.input_shape
    port = _input_named(model, name) if name is not None else None
    if shape is not None:
        port = port or _image_input(model)
        _reshape(model, port, parse_shape(shape))
    if options.layout is not None:
        _say_layout(model, port or _image_input(model), options.layout)
    return model


def parse_shape(text: str) -> ov.PartialShape:
    """`[1,3,?,320..1024]`: numbers, `?` or -1 for any, and ranges open on either side.

    Raises ConversionError.
    """
    inner = text.strip()
    if inner.startswith("[") != inner.endswith("]"):
        raise ConversionError(f"the shape '{text}' lacks a bracket: write [1,3,480,640].")
    parts = [part.strip() for part in inner.strip("[]").split(",")]
    return ov.PartialShape([_dimension(part, text) for part in parts])


def _dimension(part: str, text: str) -> ov.Dimension:
    if part in ("?", "-1"):
        return ov.Dimension()
    if part.isdecimal() and int(part) > 0:
        return ov.Dimension(int(part))
    if found := re.fullmatch(r"(\d*)\.\.(\d*)", part):
        low, high = int(found[1] or 0), int(found[2] or -1)
        if (found[1] or found[2]) and (high == -1 or max(low, 1) <= high < _BOUND):
            return ov.Dimension(low, high)
    raise ConversionError(
        f"the shape '{text}' is not understood at '{part}': a side is a number such as 640, ? for "
        "any, or a range such as 320..1024."
    )


def _split_input(text: str | None) -> tuple[str | None, str | None]:
    """`data[1,3,480,640]` -> the name and the shape, each perhaps None."""
    if text is None:
        return None, None
    found = _INPUT.fullmatch(text)
    if not found or not (found[1] or found[2]):
        raise ConversionError(
            f"--input '{text}' is not understood: write the image input's name, its shape, or both "
            "as name[1,3,480,640]."
        )
    return found[1] and found[1].strip(), found[2]


def _input_named(model: ov.Model, name: str) -> ov.Output:
    inputs = graph.inputs_by_name(model)
    if name.removesuffix(":0") not in inputs:
        raise ConversionError(
            f"the model has no input '{name}': it has {graph.describe_ports(model.inputs)}."
        )
    return inputs[name.removesuffix(":0")]


def _image_input(model: ov.Model) -> ov.Output:
    if len(model.inputs) != 1:
        raise ConversionError(
            f"the model has {len(model.inputs)} inputs ({graph.describe_ports(model.inputs)}): say "
            "which one with --input NAME."
        )
    return model.inputs[0]


def _reshape(model: ov.Model, port: ov.Output, shape: ov.PartialShape) -> None:
    old = port.get_partial_shape()
    if old.rank.is_static and len(old) != len(shape):
        raise ConversionError(
            f"the input is {graph.describe_ports([port])}, so that the shape {shape} has the wrong "
            f"number of sides: give {len(old)}."
        )
    try:
        model.reshape({port: shape})
    except RuntimeError as error:
        raise ConversionError(
            f"the model cannot have the input shape {shape}: {reason_of(error)}: choose another "
            "--input-shape, or leave it out."
        ) from error


def _say_layout(model: ov.Model, port: ov.Output, text: str) -> None:
    if "->" in text:
        raise ConversionError(
            "--layout says how the model's input lies, and what comes before it follows from that: "
            "write nchw or nhwc alone."
        )
    found = _LAYOUT.fullmatch(text.strip())
    letters = re.sub(r"[\s,]", "", found[2]).upper() if found else ""
    if letters not in ("NCHW", "NHWC"):
        raise ConversionError(f"--layout '{text}' is not understood: write nchw or nhwc.")
    if found and found[1]:
        port = _input_named(model, found[1])
    shape = port.get_partial_shape()
    channels = letters.index("C")
    if shape.rank.is_dynamic or len(shape) != 4 or not shape[channels].compatible(ov.Dimension(3)):
        raise ConversionError(
            f"the input is {graph.describe_ports([port])}, which cannot have the layout "
            f"{letters.lower()}: side {channels + 1} must be 3."
        )
    port.node.layout = ov.Layout(letters)


def _choose_outputs(model: ov.Model, text: str) -> ov.Model:
    """A model with these outputs in this order; a name inside the graph becomes an output."""
    wanted = [part.strip() for part in text.split(",")]
    if not all(wanted):
        raise ConversionError(f"--output '{text}' has an empty name: write name,name.")
    renamed, results = {}, []
    for part in wanted:
        new, _, old = part.rpartition("=")
        tensor = _tensor_named(model, old.strip())
        results.append((tensor, new.strip()))
    for tensor, new in results:
        if new in renamed:
            raise ConversionError(f"--output gives the name '{new}' twice.")
        if new:
            renamed[new] = tensor
    chosen = ov.Model([tensor for tensor, _ in results], model.get_parameters(), "chosen")
    for path in (["model_info"],):  # what the source says of itself stays
        if model.has_rt_info(path):
            chosen.set_rt_info(model.get_rt_info(path), path)
    for index, (_, new) in enumerate(results):
        if new:
            graph.name_output(chosen, index, new)
    return chosen


def _tensor_named(model: ov.Model, name: str) -> ov.Output:
    outputs = graph.outputs_by_name(model)
    bare = name.removesuffix(":0")
    if bare in outputs:
        return graph.tensor_of(outputs[bare])
    for node in model.get_ops():
        if node.get_type_name() == "Result":
            continue
        for inner in node.outputs():
            if name in inner.get_names() or bare in inner.get_names():
                return inner
        if node.get_friendly_name() == name and len(node.outputs()) == 1:
            return node.output(0)
    raise ConversionError(
        f"the model has no output '{name}': it has {graph.describe_ports(model.outputs)}."
    )
