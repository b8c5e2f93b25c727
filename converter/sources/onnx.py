"""ONNX files, float or with QuantizeLinear/DequantizeLinear, read without the onnx package."""

from __future__ import annotations

from pathlib import Path

from backend.runtime.errors import ConversionError
from converter.sources import protobuf
from converter.sources.source import SourceFacts, SourceModel, digest_files, import_model
from converter.sources.ultralytics import ultralytics_facts

# Field numbers of onnx/onnx.proto
_PRODUCER_NAME, _PRODUCER_VERSION, _GRAPH, _METADATA = 2, 3, 7, 14
_INITIALIZERS, _EXTERNAL_DATA = 5, 13
_OPSETS, _OPSET_DOMAIN, _OPSET_VERSION = 8, 1, 2
_KEY, _VALUE = 1, 2
_MODEL_INFO = "model_info "  # how Model API keys stand in an ONNX file's metadata


def load_onnx(path: Path) -> SourceModel:
    """One .onnx file, with the files of its weights where they stand beside it.

    Raises ConversionError.
    """
    content = memoryview(path.read_bytes())
    try:
        if not any(len(graph) for graph in protobuf.messages(content, _GRAPH)):
            raise ConversionError(f"{path} is not an ONNX model: it has no graph.")
        producer = (
            protobuf.text(content, _PRODUCER_NAME),
            protobuf.text(content, _PRODUCER_VERSION),
        )
        metadata = {
            protobuf.text(entry, _KEY): protobuf.text(entry, _VALUE)
            for entry in protobuf.messages(content, _METADATA)
        }
        opset = _opset(content)
        weights = _external_files(path, content)
    except ValueError as error:
        raise ConversionError(
            f"{path} is not an ONNX model, or was cut off ({error}): copy or export it again."
        ) from error
    return SourceModel(
        model=import_model(path, "an ONNX model"),
        path=path,
        format="onnx",
        digest=digest_files([path, *weights]),
        framework_version=" ".join(part for part in (*producer, opset) if part),
        model_info={
            key.removeprefix(_MODEL_INFO): value
            for key, value in metadata.items()
            if key.startswith(_MODEL_INFO)
        },
        facts=ultralytics_facts(metadata, path) or SourceFacts(),
    )


def _opset(content: memoryview) -> str:
    """`opset 17`: of ONNX's own operations, whose domain is written as '' or not at all."""
    for entry in protobuf.messages(content, _OPSETS):
        if protobuf.text(entry, _OPSET_DOMAIN) in ("", "ai.onnx"):
            return f"opset {protobuf.number(entry, _OPSET_VERSION)}"
    return ""


def _external_files(path: Path, content: memoryview) -> list[Path]:
    names = {
        protobuf.text(entry, _VALUE)
        for entry in protobuf.messages(content, _GRAPH, _INITIALIZERS, _EXTERNAL_DATA)
        if protobuf.text(entry, _KEY) == "location"
    }
    files = [path.parent / name for name in sorted(names)]
    for name, file in zip(sorted(names), files, strict=True):
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConversionError(
                f"{path} keeps weights outside its folder ({name}): copy them beside it, and save "
                "the model anew."
            )
        if not file.is_file():
            raise ConversionError(
                f"{path} keeps weights in {file.name}, which is not beside it: copy both."
            )
    return files
