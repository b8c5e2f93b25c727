"""A source as OpenVINO reads it, before any adapter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.errors import MeasurementError
from converter.graph import inputs_by_name, outputs_by_name
from converter.reference.reference import Answer, Array
from converter.sources import SourceModel
from converter.sources.source import reason_of

_F32 = {"INFERENCE_PRECISION_HINT": ov.Type.f32}


class OpenVinoReference:
    """On the CPU at f32."""

    def __init__(self, source: SourceModel) -> None:
        self.runtime = f"OpenVINO {ov.__version__.partition('-')[0]}"
        self._source = source
        self._compiled: dict[tuple[str, ...], ov.CompiledModel] = {}
        ports = source.model.outputs
        self._inputs = {
            name: source.model.inputs.index(port)
            for name, port in inputs_by_name(source.model).items()
        }
        # An output may have several names, and old IRs have none but the operation's.
        self._index = {
            name: ports.index(port) for name, port in outputs_by_name(source.model).items()
        }

    def tensor_names(self) -> frozenset[str]:
        """The operations' names."""
        return frozenset(
            node.get_friendly_name()
            for node in self._source.model.get_ops()
            if node.get_output_size() == 1
        )

    def run(self, inputs: dict[str, Array], inner: Sequence[str]) -> Answer:
        """See Reference.run."""
        compiled = self._compile(tuple(inner))
        try:
            found = compiled({self._inputs[name]: value for name, value in inputs.items()})
        except RuntimeError as error:
            raise MeasurementError(f"the source fails: {reason_of(error)}.") from error
        values = [np.array(found[port]) for port in compiled.outputs]
        return Answer(
            {name: values[index] for name, index in self._index.items()},
            dict(zip(inner, values[len(values) - len(inner) :], strict=True)),
        )

    def _compile(self, inner: tuple[str, ...]) -> ov.CompiledModel:
        if inner not in self._compiled:
            model = self._source.model.clone()
            nodes = {node.get_friendly_name(): node for node in model.get_ops()}
            model.add_results([ops.result(nodes[name].output(0)) for name in inner])
            self._compiled[inner] = ov.Core().compile_model(model, "CPU", _F32)
        return self._compiled[inner]
