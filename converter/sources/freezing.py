"""With TensorFlow itself: a SavedModel or a Keras file -> a frozen graph that OpenVINO can read.

OpenVINO reads neither Keras files nor SavedModels whose variables Keras 3 keeps in its own way
("Cannot find requested variable"). TensorFlow reads both, and makes constants of the variables.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.errors import ConversionError
from converter import graph
from converter.sources.source import import_model

_CUSTOM = ("Could not locate class", "Unknown layer", "Could not deserialize", "not registered")


def freeze_saved_model(folder: Path) -> ov.Model:
    """A SavedModel's serving signature. Raises ConversionError."""
    tf = import_tensorflow(f"{folder} keeps its variables as Keras 3 does, which")
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:  # TensorFlow raises anything
        raise ConversionError(
            f"{folder} cannot be loaded by TensorFlow: {_first_line(error)}."
        ) from error
    signatures = loaded.signatures
    if not signatures:
        raise ConversionError(
            f"{folder} has no signature: save it with model.export(folder), or with signatures=."
        )
    key = "serving_default" if "serving_default" in signatures else sorted(signatures)[0]
    function = signatures[key]
    return _import_frozen(function, sorted(function.structured_outputs))


def freeze_keras(path: Path, *, trust: bool) -> tuple[ov.Model, str]:
    """A .keras or .h5 file, and Keras' version. Raises ConversionError.

    `trust`: Lambda layers, whose code stands in the file, may be run.
    """
    tf = import_tensorflow(f"{path} is a Keras file, which")
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        raise ConversionError(_why_not_keras(path, error)) from error
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs) != 1:
        raise ConversionError(
            f"{path} must be a model with one input, but has {len(inputs or ())}: export it with "
            "model.export(folder), and convert the folder."
        )
    image = inputs[0]
    spec = tf.TensorSpec([1, *image.shape[1:]], image.dtype, name=image.name)
    function = tf.function(lambda image: model(image, training=False), input_signature=[spec])
    try:
        concrete = function.get_concrete_function()
    except Exception as error:
        raise ConversionError(
            f"{path} cannot be traced with an input {spec.shape}: {_first_line(error)}."
        ) from error
    outputs = concrete.structured_outputs
    names = sorted(outputs) if isinstance(outputs, dict) else list(model.output_names)
    return _import_frozen(concrete, names), f"keras {keras.__version__}"


def import_tensorflow(what: str) -> Any:
    """TensorFlow, quietly. Raises ConversionError, beginning with `what`, where it is missing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # it announces itself on stderr otherwise
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        import tensorflow as tf
    except ImportError as error:
        raise ConversionError(
            f"{what} needs TensorFlow, and there is none here: pip install labelvino[tensorflow], "
            "or save the model with model.export(folder) and convert the folder."
        ) from error
    return tf


def _import_frozen(function: Any, names: list[str]) -> ov.Model:
    """`names`: of the function's outputs, in order."""
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    try:
        frozen = convert_variables_to_constants_v2(function)
        content = frozen.graph.as_graph_def().SerializeToString()
    except Exception as error:  # among others where it exceeds protobuf's 2 GB
        raise ConversionError(f"the model cannot be frozen: {_first_line(error)}.") from error
    with tempfile.TemporaryDirectory(prefix="labelvino-") as folder:
        path = Path(folder) / "frozen.pb"
        path.write_bytes(content)
        model = import_model(path, "a TensorFlow graph")
    known = graph.outputs_by_name(model)
    for output in frozen.outputs:  # OpenVINO's reader drops those that are constants
        if output.name.removesuffix(":0") not in known:
            graph.add_constant_output(model, output.name, _constant(output))
    tensors = [output.name for output in frozen.outputs]
    graph.rename_outputs(model, dict(zip(tensors, names, strict=True)))
    return model


def _constant(tensor: Any) -> npt.NDArray[Any]:
    from tensorflow import get_static_value

    value = get_static_value(tensor)
    if value is None:
        raise ConversionError(
            f"the output {tensor.name} is lost on the way to OpenVINO: export the model again, "
            "with model.export(folder)."
        )
    return np.asarray(value)


def _why_not_keras(path: Path, error: Exception) -> str:
    text = str(error)
    if "safe_mode" in text or "unsafe" in text.lower():
        return (
            f"{path} has a Lambda layer, whose code would run when it is loaded: give --trust if "
            "you know where the file comes from."
        )
    if any(sign in text for sign in _CUSTOM):
        layer = re.search(r"(?:class|layer:?) '?([\w>]+)'?", text[text.find("Could not locate") :])
        what = f"the layer {layer[1]}, which is" if layer else "layers that are"
        return (
            f"{path} uses {what} not Keras' own: export it with model.export(folder) where it is "
            "defined, and convert the folder."
        )
    return f"{path} cannot be loaded by Keras: {_first_line(error)}."


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rstrip(".:")[:200] if lines else type(error).__name__
