"""What every framework's module offers, and which one runs a source."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from backend.runtime.errors import MeasurementError
from converter.sources import SourceModel

Framework = Literal["auto", "tensorflow", "onnxruntime", "pytorch", "openvino"]
FRAMEWORKS: tuple[Framework, ...] = get_args(Framework)
Array = npt.NDArray[np.generic]

_OWN: dict[str, tuple[Framework, str]] = {
    "tensorflow-saved-model": ("tensorflow", "tensorflow"),
    "tensorflow-frozen-graph": ("tensorflow", "tensorflow"),
    "onnx": ("onnxruntime", "onnxruntime"),
    "openvino-ir": ("openvino", "openvino"),
}

_EXTRAS = {"tensorflow": "tensorflow", "onnxruntime": "onnx", "torch": "torch"}


@dataclass(frozen=True, eq=False)
class Answer:
    """`outputs`: by name; `inner`: the tensors that were asked for besides, by name."""

    outputs: dict[str, Array]
    inner: dict[str, Array]


class Reference(Protocol):
    """A source that runs. `runtime`: framework and version, for people."""

    runtime: str

    def tensor_names(self) -> frozenset[str]:
        """Names of inner tensors that can be asked for, without TensorFlow's ':0'."""
        ...

    def run(self, inputs: dict[str, Array], inner: Sequence[str]) -> Answer:
        """One image. `inputs`: by name, as the source takes them. Raises MeasurementError."""
        ...


@dataclass(frozen=True, eq=False)
class Opened:
    """`own`: the source runs in its own framework; else `note` says why not."""

    reference: Reference
    own: bool
    note: str = ""


def open_reference(source: SourceModel, framework: Framework = "auto") -> Opened:
    """The source in its own framework, or with 'auto' in OpenVINO where that is not installed.

    Raises MeasurementError.
    """
    own, package = _own_framework(source)
    if framework == "auto":
        if own == "auto" or not _is_there(package):
            missing = f"{package} is not installed here" if package else "it has no other way here"
            note = (
                f"the source runs in OpenVINO's own reading of it, since {missing}: what OpenVINO "
                "reads wrongly stays unseen"
            )
            return Opened(_open(source, "openvino"), False, note)
        return Opened(_open(source, own), True)
    if framework not in (own, "openvino"):
        raise MeasurementError(
            f"{source.path} is {source.format}, which --framework {framework} does not run: leave "
            "the option out."
        )
    if framework != "openvino" and not _is_there(package):
        raise MeasurementError(
            f"{package} is not installed here: pip install labelvino[{_EXTRAS[package]}], or "
            "compare with OpenVINO's own reading of the source (--framework openvino)."
        )
    note = "" if framework == own else "--framework openvino: OpenVINO's own reading of the source"
    return Opened(_open(source, framework), framework == own, note)


def _own_framework(source: SourceModel) -> tuple[Framework, str]:
    """Its name and package; 'auto' and nothing where no module here runs such a source."""
    if source.native is not None:
        return "pytorch", "torch"
    return _OWN.get(source.format, ("auto", ""))


def _is_there(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _open(source: SourceModel, framework: Framework) -> Reference:
    if framework == "tensorflow":
        from converter.reference.in_tensorflow import open_in_tensorflow

        return open_in_tensorflow(source)
    if framework == "onnxruntime":
        from converter.reference.in_onnxruntime import OnnxReference

        return OnnxReference(source)
    if framework == "pytorch":
        from converter.reference.in_pytorch import TorchReference

        return TorchReference(source)
    from converter.reference.in_openvino import OpenVinoReference

    return OpenVinoReference(source)
