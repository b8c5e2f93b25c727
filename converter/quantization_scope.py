"""Which operations of a graph may compute in INT8: those that carry features, never box arithmetic.

Features run from the first convolution to the last layer with weights. What prepares the image, and
what makes boxes, scores and masks out of the layers' answers, needs more than 256 values: NNCF's
defaults quantise that too, and lose the detections of two-stage models.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import openvino as ov

from backend.runtime.errors import ConversionError

Stages = Literal["one-stage", "two-stage"]

LAYERS = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
"""Operations with weights; NNCF quantises both their weights and what comes in."""
_ROI = frozenset(
    {"ROIPooling", "ROIAlign", "PSROIPooling", "DeformablePSROIPooling", "ROIAlignRotated"}
    | {"ExperimentalDetectronROIFeatureExtractor"}
)
# What features pass through on their way to a layer. Everything but concatenations and elementwise
# arithmetic has them at its first input alone.
_MANY_INPUTS = frozenset(
    {"Add", "Subtract", "Multiply", "Divide", "Concat", "MatMul"} | {"Maximum", "Minimum"}
)
_ONE_INPUT = frozenset(
    {"Relu", "PRelu", "Clamp", "Sigmoid", "Tanh", "Elu", "Selu", "HSwish", "HSigmoid", "Swish"}
    | {"Gelu", "Mish", "SoftPlus", "MVN", "NormalizeL2", "BatchNormInference", "Softmax"}
    | {"MaxPool", "AvgPool", "AdaptiveAvgPool", "AdaptiveMaxPool", "ReduceMean", "ReduceMax"}
    | {"Interpolate", "Pad", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Split"}
    | {"VariadicSplit", "Slice", "StridedSlice", "Gather", "Convert", "FakeQuantize"}
    | {"ShuffleChannels", "SpaceToDepth", "DepthToSpace"}
    | _ROI
)
_CONSTANT_PATH = frozenset({"Constant", "Convert", "FakeQuantize", "Multiply", "Subtract"})
_MOVES = frozenset({"Transpose", "Reshape", "Squeeze", "Unsqueeze"})
_NO_OPERATION = frozenset({"Constant", "Parameter", "Result"})


@dataclass(frozen=True)
class Scope:
    """`ignored`: names of operations that stay as they are; `layers`: of those that become INT8."""

    stages: Stages
    layers: tuple[str, ...]
    ignored: tuple[str, ...]


def scope_of(model: ov.Model, keep: Sequence[str] = ()) -> Scope:
    """The scope that fits the graph.

    `two-stage`: layers alone become INT8. `one-stage`: whatever carries features may.
    `keep`: NAME, `type:TYPE` or `re:PATTERN` of further operations that stay as they are. Raises
    ConversionError where one of them fits nothing, or no layer is left.
    """
    nodes = model.get_ordered_ops()
    layers = [node for node in nodes if _has_weights(node) and not _is_expectation(node)]
    names = {node.get_friendly_name() for node in layers}
    kept = _kept(nodes, keep)
    left = tuple(
        node.get_friendly_name() for node in layers if node.get_friendly_name() not in kept
    )
    if not left:
        raise ConversionError(
            "the model has no layer to quantise"
            + (": --ignored-scope leaves none." if names else " (no convolution has weights).")
        )
    stages: Stages = "two-stage" if any(_is_roi(node) for node in nodes) else "one-stage"
    quantised = set(left)
    if stages == "one-stage":
        arithmetic = {node.get_friendly_name() for node in nodes if _is_expectation(node)}
        quantised |= _features(layers) - kept - arithmetic
    ignored = tuple(
        node.get_friendly_name()
        for node in nodes
        if node.get_friendly_name() not in quantised and node.get_type_name() not in _NO_OPERATION
    )
    return Scope(stages, left, ignored)


def eight_bit_layers(model: ov.Model) -> int:
    """How many layers of a quantised model have weights of eight bits."""
    count = 0
    for node in model.get_ops():
        if not _has_weights(node):
            continue
        weights = node.input_value(1).get_node()
        if not _is_constant(weights):
            weights = node.input_value(0).get_node()
        while weights.get_type_name() != "Constant":
            weights = weights.input_value(0).get_node()
        count += weights.get_element_type().to_string() in ("i8", "u8")
    return count


def _features(layers: Sequence[ov.Node]) -> set[str]:
    """Operations between two layers, and no others, by name."""
    towards: dict[str, ov.Node] = {}
    waiting = [source for layer in layers for source in _feature_inputs(layer)]
    while waiting:
        node = waiting.pop()
        name = node.get_friendly_name()
        if name in towards or node.get_type_name() not in _MANY_INPUTS | _ONE_INPUT | LAYERS:
            continue
        towards[name] = node
        waiting += _feature_inputs(node)
    behind: set[str] = set()
    reached = list(layers)
    while reached:
        for output in reached.pop().outputs():
            for target in output.get_target_inputs():
                node = target.get_node()
                name = node.get_friendly_name()
                if name in towards and name not in behind:
                    behind.add(name)
                    reached.append(node)
    return behind


def _feature_inputs(node: ov.Node) -> list[ov.Node]:
    count = node.get_input_size() if node.get_type_name() in _MANY_INPUTS else 1
    return [node.input_value(i).get_node() for i in range(min(count, node.get_input_size()))]


def _has_weights(node: ov.Node) -> bool:
    if node.get_type_name() not in LAYERS:
        return False
    if node.get_type_name() == "MatMul" and _is_constant(node.input_value(0).get_node()):
        return True
    return _is_constant(node.input_value(1).get_node())


def _is_constant(node: ov.Node) -> bool:
    """A constant, also one that is stored in fewer bits and widened."""
    while node.get_type_name() != "Constant":
        if node.get_type_name() not in _CONSTANT_PATH | _MOVES or not node.get_input_size():
            return False
        if any(not _is_constant(v.get_node()) for v in node.input_values()[1:]):
            return False
        node = node.input_value(0).get_node()
    return True


def _is_expectation(node: ov.Node) -> bool:
    """Whether a layer weighs probabilities: box arithmetic in the clothes of a convolution.

    Detectors of YOLO's kind give each side of a box as a distribution over distances.
    """
    if not _has_weights(node):
        return False
    source = node.input_value(0).get_node()
    while source.get_type_name() in _MOVES:
        source = source.input_value(0).get_node()
    return bool(source.get_type_name() == "Softmax")


def _is_roi(node: ov.Node) -> bool:
    """Whether it cuts features out at places that the model itself found."""
    return node.get_type_name() in _ROI and not _is_constant(node.input_value(1).get_node())


def _kept(nodes: Iterable[ov.Node], keep: Sequence[str]) -> set[str]:
    kept: set[str] = set()
    for text in keep:
        found = {node.get_friendly_name() for node in nodes if _fits(node, text)}
        if not found:
            raise ConversionError(
                f"--ignored-scope {text} fits no operation of the model: give NAME, type:TYPE or "
                "re:PATTERN; 'labelvino-model quantize --show-scope' lists the layers."
            )
        kept |= found
    return kept


def _fits(node: ov.Node, text: str) -> bool:
    kind, colon, rest = text.partition(":")
    if colon and kind == "type":
        return bool(node.get_type_name() == rest)
    if colon and kind == "re":
        try:
            return re.fullmatch(rest, node.get_friendly_name()) is not None
        except re.error as error:
            raise ConversionError(
                f"--ignored-scope {text} is no regular expression: {error}."
            ) from error
    return bool(node.get_friendly_name() == text)
