"""ONNX files in ONNX Runtime; inner tensors too, where the package onnx is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import Any

import numpy as np

from backend.runtime.errors import MeasurementError
from converter.reference.reference import Answer, Array
from converter.sources import SourceModel
from converter.sources.source import reason_of


class OnnxReference:
    """On the CPU, as the file says."""

    def __init__(self, source: SourceModel) -> None:
        import onnxruntime

        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"
        self._path = source.path
        self._sessions: dict[tuple[str, ...], Any] = {}
        self._outputs = [output.name for output in self._session(()).get_outputs()]
        self._inner = _tensor_names(source) if importlib.util.find_spec("onnx") else frozenset()

    def tensor_names(self) -> frozenset[str]:
        """Tensors inside the file."""
        return self._inner

    def run(self, inputs: dict[str, Array], inner: Sequence[str]) -> Answer:
        """See Reference.run."""
        session = self._session(tuple(inner))
        try:
            found = session.run([*self._outputs, *inner], inputs)
        except Exception as error:  # ONNX Runtime's errors have no base of their own
            raise MeasurementError(
                f"the source fails in ONNX Runtime: {reason_of(error)}."
            ) from error
        count = len(self._outputs)
        arrays = [np.asarray(value) for value in found]
        return Answer(
            dict(zip(self._outputs, arrays[:count], strict=True)),
            dict(zip(inner, arrays[count:], strict=True)),
        )

    def _session(self, inner: tuple[str, ...]) -> Any:
        if inner not in self._sessions:
            import onnxruntime

            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            try:
                self._sessions[inner] = onnxruntime.InferenceSession(
                    str(self._path) if not inner else _with_outputs(self._path, inner),
                    options,
                    providers=["CPUExecutionProvider"],
                )
            except Exception as error:
                raise MeasurementError(
                    f"{self._path} cannot be loaded by ONNX Runtime: {reason_of(error)}."
                ) from error
        return self._sessions[inner]


def _tensor_names(source: SourceModel) -> frozenset[str]:
    import onnx

    model = onnx.load(source.path, load_external_data=False)
    return frozenset(name for node in model.graph.node for name in node.output if name)


def _with_outputs(path: Any, inner: Sequence[str]) -> bytes:
    import onnx

    model = onnx.load(path)
    for name in inner:
        model.graph.output.append(onnx.ValueInfoProto(name=name))
    content: bytes = model.SerializeToString()
    return content
