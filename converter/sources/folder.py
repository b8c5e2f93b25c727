"""Folders and archives: which of the files in them is the model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from backend.runtime.errors import ConversionError

_DEPTH = 4
# In the order of what is taken: a SavedModel needs nothing else, and stands beside checkpoints.
_KINDS = (
    ("saved_model.pb", "SavedModel"),
    ("frozen_inference_graph.pb", "frozen graph"),
    ("*.xml", "OpenVINO IR"),
    ("*.onnx", "ONNX file"),
    ("*.tflite", "TensorFlow Lite file"),
)
_REFUSED = (
    ("*.meta", "a TensorFlow checkpoint", "export it as a SavedModel"),
    ("*.index", "a TensorFlow checkpoint", "export it as a SavedModel"),
    ("*.pdmodel", "a PaddlePaddle model", "export it to ONNX with paddle2onnx"),
    ("*.pdiparams", "a PaddlePaddle model", "export it to ONNX with paddle2onnx"),
)


def model_in(folder: Path, shown: Path) -> Path | None:
    """The one model in a folder, at most four levels down; None where there is none.

    `shown`: what messages name, the folder or the archive it came from. Raises ConversionError for
    several of a kind, and for what cannot be read yet.
    """
    for pattern, kind in _KINDS:
        found = sorted(_files(folder, pattern))
        if kind == "OpenVINO IR":
            found = [path for path in found if path.with_suffix(".bin").is_file()]
        if len(found) > 1:
            names = ", ".join(str(path.relative_to(folder)) for path in found[:5])
            raise ConversionError(
                f"{shown} has {len(found)} models ({names}): give one of them as the source."
            )
        if found:
            return found[0]
    for pattern, what, remedy in _REFUSED:
        if any(_files(folder, pattern)):
            raise ConversionError(
                f"{shown} is {what}, which labelvino-model cannot read yet: {remedy}."
            )
    return None


def _files(folder: Path, pattern: str, depth: int = _DEPTH) -> Iterator[Path]:
    yield from (path for path in folder.glob(pattern) if path.is_file())
    if depth > 0:
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            if not inner.is_symlink():
                yield from _files(inner, pattern, depth - 1)
