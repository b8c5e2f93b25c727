"""An OpenVINO IR: .xml with its .bin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov

from backend.runtime.errors import ConversionError
from converter.sources.source import SourceModel, digest_files, read_model


def load_ir(path: Path) -> SourceModel:
    """Raises ConversionError, among others where the .bin is missing or too short."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ConversionError(
            f"{path} has no weights beside it: put {weights.name} into the same folder."
        )
    model = read_model(path, "an OpenVINO IR")
    return SourceModel(
        model=model,
        path=path,
        format="openvino-ir",
        digest=digest_files([path, weights]),
        framework_version=_version(model),
        model_info=_model_info(model),
    )


def _version(model: ov.Model) -> str:
    for key in ("Runtime_version", "MO_version"):
        if model.has_rt_info([key]):
            return str(model.get_rt_info([key]).astype(str))
    return ""


def _model_info(model: ov.Model) -> dict[str, str]:
    if not model.has_rt_info(["model_info"]):
        return {}
    tree: dict[str, Any] = model.get_rt_info(["model_info"]).value
    return {
        key: model.get_rt_info(["model_info", key]).astype(str)
        for key in tree
        if not isinstance(getattr(tree[key], "value", None), dict)
    }
