"""TensorFlow's frozen graph (.pb) and SavedModel folder, read without TensorFlow where possible."""

from __future__ import annotations

from pathlib import Path

from backend.runtime.errors import ConversionError
from converter.sources import protobuf
from converter.sources.source import SourceModel, digest_files, import_model

# Field numbers of tensorflow/core/protobuf/{saved_model,meta_graph}.proto and framework/graph.proto
_META_GRAPHS, _META_INFO, _TENSORFLOW_VERSION = 2, 1, 5
_GRAPH_NODES, _GRAPH_VERSIONS, _PRODUCER = 1, 4, 1
_NODE_NAME = 1
# OpenVINO's words where it does not find variables under the names that Keras 3 gave them
_KERAS_3_VARIABLES = "Cannot find requested variable"


def load_saved_model(folder: Path) -> SourceModel:
    """A folder with saved_model.pb and variables/. Raises ConversionError."""
    content = _parse(folder / "saved_model.pb", "a SavedModel")
    version = protobuf.text(content, _META_GRAPHS, _META_INFO, _TENSORFLOW_VERSION)
    try:
        model = import_model(folder, "a TensorFlow SavedModel")
    except ConversionError as error:
        if _KERAS_3_VARIABLES not in str(error.__cause__):
            raise
        from converter.sources.freezing import freeze_saved_model

        model = freeze_saved_model(folder)
    return SourceModel(
        model=model,
        path=folder,
        format="tensorflow-saved-model",
        digest=digest_files(sorted(p for p in folder.rglob("*") if p.is_file())),
        framework_version=version,
    )


def load_frozen_graph(path: Path) -> SourceModel:
    """A frozen GraphDef. Raises ConversionError."""
    content = _parse(path, "a TensorFlow graph")
    if not protobuf.text(content, _GRAPH_NODES, _NODE_NAME):
        raise ConversionError(
            f"{path} is not a TensorFlow frozen graph: give a frozen_inference_graph.pb, or the "
            "folder of a SavedModel."
        )
    producer = next(
        (protobuf.number(v, _PRODUCER) for v in protobuf.messages(content, _GRAPH_VERSIONS)), None
    )
    return SourceModel(
        model=import_model(path, "a TensorFlow frozen graph"),
        path=path,
        format="tensorflow-frozen-graph",
        digest=digest_files([path]),
        framework_version="" if producer is None else f"graph producer {producer}",
    )


def _parse(path: Path, what: str) -> memoryview:
    """The file's bytes, once they are seen to be whole."""
    content = memoryview(path.read_bytes())
    try:
        for _ in protobuf.fields(content):
            pass
    except ValueError as error:
        raise ConversionError(
            f"{path} is not {what}, or was cut off ({error}): copy or export it again."
        ) from error
    return content
