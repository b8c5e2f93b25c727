"""Conversions for operations that OpenVINO has none for: a Python file or a compiled library.

A Python file is code of the user's own choice, and runs only when it is named on the command line.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import openvino as ov

from backend.runtime.errors import ConversionError

_LIBRARIES = (".so", ".dll", ".dylib")
_NAME = "EXTENSIONS"
_SOURCE_LINES = (
    *("Exception from", "Exception happened", "Check '", "RuntimeError: Check '"),
    *("FrontEnd API failed", "While validating"),
)
_in_force: ContextVar[tuple[Any, ...]] = ContextVar("extensions", default=())


def load_extensions(paths: Sequence[Path]) -> tuple[Any, ...]:
    """What `ov.Core.add_extension` and `ov.convert_model` take, of all files.

    A .py file must have a list EXTENSIONS of OpenVINO's ConversionExtension or OpExtension. Raises
    ConversionError.
    """
    return tuple(extension for path in paths for extension in _load(path))


@contextmanager
def extensions_in_force(extensions: tuple[Any, ...]) -> Iterator[None]:
    """Within it, `core` and `extensions` give these."""
    token = _in_force.set(extensions)
    try:
        yield
    finally:
        _in_force.reset(token)


def extensions() -> list[Any] | None:
    """The extensions in force, for `ov.convert_model(extension=...)`, which takes no empty list."""
    return list(_in_force.get()) or None


def core() -> ov.Core:
    """A core with the extensions in force."""
    made = ov.Core()
    for extension in _in_force.get():
        made.add_extension(extension)
    return made


def conversion_failure(error: Exception) -> str | None:
    """What OpenVINO's report of unconverted operations says, in one sentence; None for others."""
    text = str(error)
    if missing := re.search(r"No conversion rule found for operations: (.+)", text):
        return (
            f"OpenVINO has no conversion for the operation {missing[1].strip()}: give one with "
            "--extension (docs/extending.md shows how), or export the model without it."
        )
    if failed := re.search(
        r"-- (\S+) with a message:\n(.+?)(?:\n(?:At|Summary):|\Z)", text, re.DOTALL
    ):
        lines = [line.strip() for line in failed[2].splitlines() if line.strip()]
        telling = [line for line in lines if not line.startswith(_SOURCE_LINES)] or lines
        return (
            f"the conversion of the operation {failed[1]} failed ({telling[0].rstrip('.:')}): give "
            "another one with --extension (docs/extending.md), or export the model without it."
        )
    return None


def _load(path: Path) -> list[Any]:
    if not path.is_file():
        raise ConversionError(f"there is no extension {path}.")
    suffix = path.suffix.lower()
    if suffix in _LIBRARIES:
        return [_checked_library(path)]
    if suffix != ".py":
        raise ConversionError(
            f"the extension {path} must be a Python file (.py) or a compiled library (.so)."
        )
    found = _run(path)
    if not isinstance(found, (list, tuple)) or not found:
        raise ConversionError(
            f"the extension {path} must have a list {_NAME} of OpenVINO's ConversionExtension."
        )
    for each in found:
        if not isinstance(each, ov.Extension):
            raise ConversionError(
                f"the extension {path} has {type(each).__name__} in {_NAME}, where OpenVINO's "
                "ConversionExtension or OpExtension belongs."
            )
    return list(found)


def _checked_library(path: Path) -> str:
    resolved = str(path.resolve())
    try:
        ov.Core().add_extension(resolved)
    except RuntimeError as error:
        line = next((text for text in str(error).splitlines() if str(path.name) in text), "")
        raise ConversionError(
            f"the extension {path} is no library of OpenVINO extensions for this machine and this "
            f"OpenVINO ({line.strip() or type(error).__name__})."
        ) from error
    return resolved


def _run(path: Path) -> Any:
    name = f"labelvino_extension_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConversionError(f"the extension {path} is no Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickles look themselves up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # it is the user's own code
        raise ConversionError(
            f"the extension {path} failed while it was loaded: {type(error).__name__}: {error}."
        ) from error
    return getattr(module, _NAME, None)
