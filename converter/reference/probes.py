"""Tensors before any selection of candidates, which source and IR both have.

Behind a selection (top k, non-maximum suppression) rows stand in an order that near-ties change,
so that only what lies before the first one can be compared element by element. The converter keeps
the operations' names, by which the two are found.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.contract import ModelContract
from backend.runtime.engine import read_ir
from backend.runtime.errors import InferenceError
from converter.reference.reference import Array

_SELECTS = frozenset({"TopK", "NonZero", "DetectionOutput", "Proposal", "MulticlassNms"})
_POOLS = frozenset({"ROIPooling", "ROIAlign", "PSROIPooling", "DeformablePSROIPooling"})
_MOST = 8
_LEAST_ELEMENTS = 16  # smaller ones say little


@dataclass(frozen=True)
class TensorGap:
    """How far one tensor of the IR lies from the source's, over some images.

    `range`: largest absolute value of the source's; `largest`: largest absolute difference;
    `typical`: the difference that 99.9 % of the elements stay below; the last two as they are, not
    relative.
    """

    name: str
    elements: int
    range: float
    largest: float
    typical: float

    @property
    def relative(self) -> float:
        """`typical` as a share of the range; 0 where all is 0."""
        return self.typical / self.range if self.range else float(self.typical > 0)


class ProbedIr:
    """The IR on the CPU at f32, with its tensors before selection as outputs besides."""

    def __init__(self, model_path: object, contract: ModelContract, known: Collection[str]) -> None:
        """`known`: names that the source can show."""
        model = read_ir(str(model_path))
        self._contract = contract
        self.names = tuple(probe_names(model, known))
        nodes = {node.get_friendly_name(): node for node in model.get_ops()}
        model.add_results([ops.result(nodes[name].output(0)) for name in self.names])
        config = {"INFERENCE_PRECISION_HINT": ov.Type.f32}
        self._compiled = ov.Core().compile_model(model, "CPU", config)

    def run(self, tensor: npt.NDArray[np.uint8]) -> dict[str, Array]:
        """`tensor` u8 [1,H,W,3] -> each probe's values. Raises InferenceError."""
        try:
            found = self._compiled({"image": tensor})
        except RuntimeError as error:
            raise InferenceError(
                f"the model fails with its inner tensors shown: {error}."
            ) from error
        values = [np.array(found[port]) for port in self._compiled.outputs]
        return dict(zip(self.names, values[len(values) - len(self.names) :], strict=True))


def probe_names(model: ov.Model, known: Collection[str]) -> list[str]:
    """Names of real tensors that feed a selection and have none before them, at most 8."""
    tainted = _behind_selection(model)
    found: dict[str, None] = {}
    for node in model.get_ordered_ops():
        if not (_selects(node) or node.get_type_name() in _POOLS):
            continue
        for index in range(node.get_input_size()):
            for name in _named_above(node.input_value(index), known, tainted):
                found.setdefault(name)
    return list(found)[:_MOST]


def gap_of(name: str, pairs: Collection[tuple[Array, Array]]) -> TensorGap | None:
    """`pairs`: the source's and the IR's values of each image; None where shapes do not fit."""
    source, differences = 0.0, []
    for one, other in pairs:
        fitted = _fitted(other, one)
        if fitted is None:
            return None
        expected = np.asarray(one, np.float64)
        source = max(source, float(np.abs(expected).max(initial=0.0)))
        differences.append(np.abs(expected - fitted).ravel())
    together = np.concatenate(differences)
    if together.size < _LEAST_ELEMENTS:
        return None
    return TensorGap(
        name,
        int(together.size),
        source,
        float(together.max()),
        float(np.quantile(together, 0.999)),
    )


def _selects(node: ov.Node) -> bool:
    kind = node.get_type_name()
    return kind in _SELECTS or "NonMaxSuppression" in kind or "ExperimentalDetectron" in kind


def _behind_selection(model: ov.Model) -> set[str]:
    tainted: set[str] = set()
    for node in model.get_ordered_ops():
        above = (node.input_value(i).node for i in range(node.get_input_size()))
        if _selects(node) or any(n.get_friendly_name() in tainted for n in above):
            tainted.add(node.get_friendly_name())
    return tainted


def _named_above(
    value: ov.Output, known: Collection[str], tainted: Collection[str]
) -> Iterator[str]:
    """The nearest tensors at or above `value` that the source can show too."""
    waiting, seen = [value], set()
    while waiting:
        each = waiting.pop()
        node = each.node
        name = node.get_friendly_name()
        if name in seen or name in tainted or not each.get_element_type().is_real():
            continue
        seen.add(name)
        if node.get_type_name() in ("Constant", "Parameter"):
            continue
        if name in known and node.get_output_size() == 1:
            yield name
        else:
            waiting += [node.input_value(i) for i in range(node.get_input_size())]


def _fitted(value: Array, wanted: Array) -> npt.NDArray[np.float64] | None:
    """In the shape of the source's; OpenVINO keeps TensorFlow's [1,H,W,C] as [1,C,H,W]."""
    array = np.asarray(value, np.float64)
    if array.shape == wanted.shape:
        return array
    if array.ndim == 4 and array.transpose(0, 2, 3, 1).shape == wanted.shape:
        return array.transpose(0, 2, 3, 1)
    return None
