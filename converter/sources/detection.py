"""Which framework a path comes from, by its content where there is any, else by its name."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

from backend.runtime.errors import ConversionError
from converter.archive import is_archive, unpack
from converter.extensions import extensions_in_force, load_extensions
from converter.sources.folder import model_in
from converter.sources.source import LoadOptions, SourceModel, digest_files

_KNOWN = (
    "a TensorFlow frozen graph (.pb), a SavedModel folder, a Keras file (.keras, .h5), TensorFlow "
    "Lite (.tflite), an archive of one of them, an ONNX file (.onnx), an OpenVINO IR (.xml), a "
    "PyTorch file (.pt, .pt2), torchvision:NAME, detectron2:CONFIG or module:factory"
)
_NOT_YET = {
    ".pdmodel": "PaddlePaddle",
    ".pdiparams": "PaddlePaddle",
    ".meta": "TensorFlow checkpoint",
    ".ckpt": "TensorFlow checkpoint",
    ".index": "TensorFlow checkpoint",
}
_KERAS_FILES = frozenset({".keras", ".h5", ".hdf5"})
_PYTORCH_FILES = frozenset({".pt", ".pth", ".pt2", ".torchscript", ".jit", ".pkl"})
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def load_source(path: Path, options: LoadOptions | None = None) -> SourceModel:
    """Load a model from any of the known forms. Raises ConversionError for everything else.

    `path`: a file or folder, `torchvision:NAME`, `detectron2:CONFIG` or `module:factory`.
    """
    options = options or LoadOptions()
    with extensions_in_force(load_extensions(options.extensions)):
        return _from_anywhere(path, options)


def _from_anywhere(path: Path, options: LoadOptions) -> SourceModel:
    prefix, _, name = str(path).partition(":")
    if prefix == "torchvision" and name:
        from converter.sources.torchvision import load_torchvision

        return load_torchvision(name, options)
    if prefix == "detectron2" and name:
        from converter.sources.detectron2 import load_detectron2

        return load_detectron2(name, options)
    if _FACTORY.fullmatch(str(path)) and not path.exists():
        from converter.sources.pytorch import load_factory

        return load_factory(str(path), options)
    if path.suffix.lower() in _PYTORCH_FILES and path.is_file() and path.stat().st_size:
        from converter.sources.pytorch import load_pytorch_file

        return load_pytorch_file(path, options)
    keras = path.suffix.lower() in _KERAS_FILES
    _refuse_options(path, replace(options, trust=False) if keras else options)
    if not path.exists():
        raise ConversionError(f"there is no file or folder {path}.")
    try:
        return _load(path, trust=options.trust)
    except OSError as error:
        raise ConversionError(f"{path} cannot be read: {error.strerror}.") from error


def _load(path: Path, *, trust: bool = False) -> SourceModel:
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
    if suffix == ".tflite":
        from converter.sources.tflite import load_tflite

        return load_tflite(path)
    if suffix in _KERAS_FILES:
        from converter.sources.keras import load_keras

        return load_keras(path, trust=trust)
    if suffix == ".xml":
        from converter.sources.openvino_ir import load_ir

        return load_ir(path)
    if is_archive(path) and suffix not in _NOT_YET:
        return _load_archive(path)
    if suffix == ".bin" and path.with_suffix(".xml").is_file():
        raise ConversionError(f"{path} is the weights of an IR: give {path.with_suffix('.xml')}.")
    if re.fullmatch(r"\.data-\d+-of-\d+", suffix):
        suffix = ".ckpt"
    if suffix in _NOT_YET:
        raise ConversionError(
            f"{path} is a {_NOT_YET[suffix]} file, which labelvino-model cannot read yet: export "
            f"the model as {_KNOWN}."
        )
    raise ConversionError(f"{path} is not a model that can be read: give {_KNOWN}.")


def _refuse_options(path: Path, options: LoadOptions) -> None:
    given = [
        name
        for name, value in (
            ("--weights", options.weights),
            ("--trust", options.trust),
            ("--example-input", options.example_input),
        )
        if value
    ]
    if given:
        raise ConversionError(
            f"{' and '.join(given)} only goes with torchvision:NAME, detectron2:CONFIG, "
            f"module:factory and PyTorch files, but the source is {path}: leave it out."
        )


def _load_folder(folder: Path) -> SourceModel:
    if (folder / "saved_model.pb").is_file():
        from converter.sources.tensorflow import load_saved_model

        return load_saved_model(folder)
    if not any(folder.iterdir()):
        raise ConversionError(f"the folder {folder} is empty: give {_KNOWN}.")
    found = model_in(folder, folder)
    if found is None:
        raise ConversionError(
            f"the folder {folder} has no model (no saved_model.pb, .xml with .bin, .onnx or "
            f".tflite): give {_KNOWN}."
        )
    return _load(found)


def _load_archive(archive: Path) -> SourceModel:
    """Unpacked into a temporary folder, which OpenVINO has read when it vanishes."""
    with tempfile.TemporaryDirectory(prefix="labelvino-") as place:
        folder = Path(place) / "unpacked"
        unpack(archive, folder)
        found = model_in(folder, archive)
        if found is None:
            raise ConversionError(f"{archive} has no model in it: give {_KNOWN}.")
        try:
            source = _load(found)
        except ConversionError as error:  # the folder is gone by the time that this is read
            inside = (
                str(error).replace(f"{folder}/", f"{archive}: ").replace(str(folder), str(archive))
            )
            raise ConversionError(inside) from error
    return replace(source, path=archive, digest=digest_files([archive]))
