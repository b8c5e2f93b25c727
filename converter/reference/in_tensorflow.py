"""Frozen graphs and SavedModels in TensorFlow itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from backend.runtime.errors import MeasurementError
from converter.reference.reference import Answer, Array, Reference
from converter.sources import SourceModel
from converter.sources.freezing import import_tensorflow
from converter.sources.source import reason_of


def open_in_tensorflow(source: SourceModel) -> Reference:
    """Raises MeasurementError where TensorFlow cannot load what OpenVINO could."""
    tf = import_tensorflow(f"{source.path}")
    try:
        if source.format == "tensorflow-frozen-graph":
            return _FrozenGraph(tf, source)
        return _SavedModel(tf, source)
    except (OSError, ValueError, RuntimeError) as error:
        raise MeasurementError(
            f"{source.path} cannot be loaded by TensorFlow: {reason_of(error)}."
        ) from error


class _FrozenGraph:
    def __init__(self, tf: Any, source: SourceModel) -> None:
        self.runtime = f"TensorFlow {tf.__version__}"
        definition = tf.compat.v1.GraphDef()
        definition.ParseFromString(source.path.read_bytes())
        self._graph = tf.Graph()
        with self._graph.as_default():
            tf.import_graph_def(definition, name="")
        self._session = tf.compat.v1.Session(graph=self._graph)
        self._names = frozenset(op.name for op in self._graph.get_operations() if op.outputs)
        self._outputs = [n for n in _output_names(source) if n in self._names]

    def tensor_names(self) -> frozenset[str]:
        """The operations' names."""
        return self._names

    def run(self, inputs: dict[str, Array], inner: Sequence[str]) -> Answer:
        """See Reference.run."""
        fetches = [f"{name}:0" for name in (*self._outputs, *inner)]
        fed = {f"{name.removesuffix(':0')}:0": value for name, value in inputs.items()}
        found = _guarded(lambda: self._session.run(fetches, fed))
        count = len(self._outputs)
        return Answer(
            dict(zip(self._outputs, found[:count], strict=True)),
            dict(zip(inner, found[count:], strict=True)),
        )


class _SavedModel:
    def __init__(self, tf: Any, source: SourceModel) -> None:
        self.runtime = f"TensorFlow {tf.__version__}"
        self._tf = tf
        self._loaded = tf.saved_model.load(str(source.path))
        signatures = self._loaded.signatures
        if not signatures:
            raise MeasurementError(f"{source.path} has no signature to run.")
        key = "serving_default" if "serving_default" in signatures else sorted(signatures)[0]
        self._run = signatures[key]
        graph = self._run.graph
        self._tensors = {op.name: op.outputs[0] for op in graph.get_operations() if op.outputs}
        self._pruned: dict[tuple[str, ...], Any] = {}

    def tensor_names(self) -> frozenset[str]:
        """Operations of the signature's own graph, not of functions that it calls."""
        return frozenset(self._tensors)

    def run(self, inputs: dict[str, Array], inner: Sequence[str]) -> Answer:
        """See Reference.run."""
        _, signature = self._run.structured_input_signature
        (name,) = signature
        (value,) = inputs.values()
        image = self._tf.constant(value)
        found = _guarded(lambda: self._run(**{name: image}))
        outputs = {key: tensor.numpy() for key, tensor in found.items()}
        if not inner:
            return Answer(outputs, {})
        key = tuple(inner)
        if key not in self._pruned:
            feeds = self._run.inputs[:1]
            self._pruned[key] = self._run.prune(feeds, [self._tensors[n] for n in inner])
        values = _guarded(lambda: self._pruned[key](image))
        return Answer(outputs, {n: v.numpy() for n, v in zip(inner, values, strict=True)})


def _output_names(source: SourceModel) -> list[str]:
    return sorted(
        {
            name.removesuffix(":0")
            for port in source.model.outputs
            for name in (port.get_names() or {port.node.input_value(0).node.get_friendly_name()})
        }
    )


def _guarded(run: Callable[[], Any]) -> Any:
    try:
        return run()
    except Exception as error:  # TensorFlow's errors have no base of their own
        raise MeasurementError(f"the source fails in TensorFlow: {reason_of(error)}.") from error
