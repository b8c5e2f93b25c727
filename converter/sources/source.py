"""A model as its framework left it, and what its files say of themselves."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openvino as ov
from openvino._offline_transformations import apply_moc_transformations

from backend.runtime.contract import Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.contracts.family import ColorOrder
from converter.extensions import conversion_failure, core
from converter.phases import begin


@dataclass(frozen=True)
class LoadOptions:
    """What some sources need besides their path.

    `weights`: a state dict or checkpoint, where the source is only a name or code; `trust`: files
    that run code when they are loaded may do so; `example_input`: a picture or a .npy array that a
    model is traced with; `extensions`: .py files and libraries with conversions for operations.
    """

    weights: Path | None = None
    trust: bool = False
    example_input: Path | None = None
    extensions: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SourceFacts:
    """What the framework's own configuration says of a model; None or empty: nothing.

    `classes`: how many the model tells apart, without a background.
    """

    family: str | None = None
    family_reason: str = ""
    labels: tuple[Label, ...] = ()
    classes: int | None = None
    resize: ResizeRule | None = None
    color_order: ColorOrder | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class NativeModule:
    """A PyTorch module from the model's input tensor to a tuple; `names`: of its outputs."""

    module: Any
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class SourceModel:
    """What a source module returns.

    `digest`: SHA-256 (hex) of the files' bytes; `framework_version`: '' where the files do not
    say; `model_info`: Model API's facts (labels, resize_type, ...), as text by key, if any.
    """

    model: ov.Model
    path: Path
    format: str
    digest: str
    framework_version: str = ""
    model_info: dict[str, str] = field(default_factory=dict)
    facts: SourceFacts = field(default_factory=SourceFacts)
    native: NativeModule | None = None


def digest_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) of all bytes of the files, in the order given."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def import_model(path: Path, what: str) -> ov.Model:
    """Load a framework's model, as `ov.convert_model` does, but without its telemetry.

    The transformations fold and fuse first what the framework spelled out, so that FP16 weights
    are rounded once, after batch norms are multiplied in, and an INT8 model stays small.
    Raises ConversionError as `read_model` does.
    """
    begin("convert")
    model = read_model(path, what)
    apply_moc_transformations(model, cf=False, smart_reshape=False)
    return model


def read_model(path: Path, what: str) -> ov.Model:
    """Load by OpenVINO's own reader, which needs no other framework.

    Raises ConversionError: `path` is not a sound `what`, or has operations OpenVINO cannot do.
    """
    try:
        return core().read_model(path)
    except RuntimeError as error:
        if found := conversion_failure(error):
            raise ConversionError(f"{path}: {found}") from error
        raise ConversionError(
            f"{path} cannot be read as {what}: {reason_of(error)}; it may be damaged or use "
            "operations that OpenVINO does not know: check the file, or export the model again."
        ) from error


def reason_of(error: Exception) -> str:
    """The one line of an OpenVINO error that says what is wrong, without its source lines."""
    skipped = ("Exception from", "Check '", "FrontEnd API failed", "While validating")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(skipped)] or lines
    return telling[0].split(" Please check that")[0].rstrip(".:") if telling else "no reason given"
