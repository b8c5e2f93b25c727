"""TensorFlow Lite files, read without TensorFlow.

OpenVINO names the outputs by the tensors, which say nothing. The file's signature says which tensor
is which output, so the names come from there.
Format: https://github.com/google/flatbuffers, and tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import struct
from pathlib import Path

from backend.runtime.errors import ConversionError
from converter import graph
from converter.sources.source import SourceModel, digest_files, import_model

# Positions of fields in schema.fbs
_SUBGRAPHS, _DESCRIPTION, _SIGNATURES = 2, 3, 7
_TENSORS, _TENSOR_NAME = 0, 3
_SIGNATURE_OUTPUTS, _SIGNATURE_SUBGRAPH = 1, 4
_MAP_NAME, _MAP_TENSOR = 0, 1


def load_tflite(path: Path) -> SourceModel:
    """One .tflite file. Raises ConversionError."""
    content = path.read_bytes()
    if content[4:8] != b"TFL3":
        raise ConversionError(
            f"{path} is not a TensorFlow Lite model: copy it again, or convert the SavedModel."
        )
    try:
        root = _Table.root(content)
        names = _signature_names(root)
        version = root.text(_DESCRIPTION)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise ConversionError(
            f"{path} is not a TensorFlow Lite model, or was cut off: copy or export it again."
        ) from error
    model = import_model(path, "a TensorFlow Lite model")
    graph.rename_outputs(model, names)
    return SourceModel(
        model=model,
        path=path,
        format="tensorflow-lite",
        digest=digest_files([path]),
        framework_version=version,
    )


def _signature_names(root: _Table) -> dict[str, str]:
    """Tensor name -> output name, of the first signature; {} where there is none."""
    signatures = root.tables(_SIGNATURES)
    if not signatures:
        return {}
    tensors = root.tables(_SUBGRAPHS)[signatures[0].number(_SIGNATURE_SUBGRAPH)].tables(_TENSORS)
    return {
        tensors[entry.number(_MAP_TENSOR)].text(_TENSOR_NAME): entry.text(_MAP_NAME)
        for entry in signatures[0].tables(_SIGNATURE_OUTPUTS)
    }


class _Table:
    """A flatbuffer's table: fields by position, absent ones as 0, '' or []."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at
        self._fields = at - self._read("<i", at)
        self._size = self._read("<H", self._fields)

    @classmethod
    def root(cls, content: bytes) -> _Table:
        return cls(content, struct.unpack_from("<I", content, 0)[0])

    def number(self, field: int) -> int:
        at = self._place(field)
        return 0 if at is None else self._read("<I", at)

    def text(self, field: int) -> str:
        at = self._place(field)
        if at is None:
            return ""
        at += self._read("<I", at)
        length = self._read("<I", at)
        if at + 4 + length > len(self._content):
            raise IndexError("a string leads out of the file")
        return self._content[at + 4 : at + 4 + length].decode()

    def tables(self, field: int) -> list[_Table]:
        at = self._place(field)
        if at is None:
            return []
        at += self._read("<I", at)
        count = self._read("<I", at)
        if at + 4 + 4 * count > len(self._content):
            raise IndexError("a list leads out of the file")
        places = range(at + 4, at + 4 + 4 * count, 4)
        return [_Table(self._content, place + self._read("<I", place)) for place in places]

    def _place(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self._size:
            return None
        offset = self._read("<H", self._fields + entry)
        return self._at + offset if offset else None

    def _read(self, form: str, at: int) -> int:
        if at < 0:
            raise IndexError("an offset leads out of the file")
        value: int = struct.unpack_from(form, self._content, at)[0]
        return value
