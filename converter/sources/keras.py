"""Keras files (.keras, .h5), which only Keras itself can read."""

from __future__ import annotations

from pathlib import Path

from backend.runtime.errors import ConversionError
from converter.sources.source import SourceModel, digest_files

_MAGIC = {b"PK\x03\x04": "keras", b"\x89HDF": "h5"}


def load_keras(path: Path, *, trust: bool) -> SourceModel:
    """One file; `trust`: Lambda layers may run their code. Raises ConversionError."""
    with path.open("rb") as file:
        kind = _MAGIC.get(file.read(4))
    if kind is None:
        raise ConversionError(f"{path} is not a Keras file: copy or save it again.")
    from converter.sources.freezing import freeze_keras

    model, version = freeze_keras(path, trust=trust)
    return SourceModel(
        model=model,
        path=path,
        format=f"keras-{kind}",
        digest=digest_files([path]),
        framework_version=version,
    )
