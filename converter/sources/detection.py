"""Which framework a path comes from, by its content where there is any, else by its name."""

from __future__ import annotations

from pathlib import Path

from backend.runtime.errors import ConversionError
from converter.sources.source import SourceModel

_KNOWN = (
    "a TensorFlow frozen graph (.pb), a SavedModel folder, an ONNX file (.onnx) or an OpenVINO IR "
    "(.xml)"
)
_NOT_YET = {
    ".tflite": "TensorFlow Lite",
    ".keras": "Keras",
    ".h5": "Keras",
    ".hdf5": "Keras",
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".pt2": "PyTorch",
    ".torchscript": "PyTorch",
    ".pdmodel": "PaddlePaddle",
    ".pdiparams": "PaddlePaddle",
    ".meta": "TensorFlow checkpoint",
    ".ckpt": "TensorFlow checkpoint",
}


def load_source(path: Path) -> SourceModel:
    """Load a model from any of the known forms. Raises ConversionError for everything else."""
    if not path.exists():
        raise ConversionError(f"there is no file or folder {path}.")
    try:
        return _load(path)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from error


def _load(path: Path) -> SourceModel:
    if path.is_dir():
        return _load_folder(path)
    if path.stat().st_size == 0:
        raise ConversionError(f"{path} is empty: copy or export it again.")
    suffix = path.suffix.lower()
    if path.name == "saved_model.pb":
        return _load_folder(path.parent)
    if suffix == ".pb":
        from converter.sources.tensorflow import load_frozen_graph

        return load_frozen_graph(path)
    if suffix == ".onnx":
        from converter.sources.onnx import load_onnx

        return load_onnx(path)
    if suffix == ".xml":
        from converter.sources.openvino_ir import load_ir

        return load_ir(path)
    if suffix == ".bin" and path.with_suffix(".xml").is_file():
        raise ConversionError(f"{path} is the weights of an IR: give {path.with_suffix('.xml')}.")
    if suffix in _NOT_YET:
        raise ConversionError(
            f"{path} is a {_NOT_YET[suffix]} file, which labelvino-model cannot read yet: export "
            f"the model as {_KNOWN}."
        )
    raise ConversionError(f"{path} is not a model that can be read: give {_KNOWN}.")


def _load_folder(folder: Path) -> SourceModel:
    if (folder / "saved_model.pb").is_file():
        from converter.sources.tensorflow import load_saved_model

        return load_saved_model(folder)
    content = sorted(p.name for p in folder.iterdir())
    if not content:
        raise ConversionError(f"the folder {folder} is empty: give {_KNOWN}.")
    raise ConversionError(
        f"the folder {folder} is no SavedModel (it has no saved_model.pb): give {_KNOWN}."
    )
