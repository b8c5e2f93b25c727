"""An OpenVINO IR: .xml with its .bin, perhaps within a Geti deployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino as ov
from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import iterparse

from backend.runtime.errors import ConversionError
from converter.sources.geti import deployment_facts
from converter.sources.source import SourceModel, digest_files, read_model

_OLDEST_VERSION = 10  # of 2020.1; OpenVINO reads nothing older


def load_ir(path: Path) -> SourceModel:
    """Raises ConversionError, among others where the .bin is missing or too short."""
    weights = path.with_suffix(".bin")
    if not weights.is_file():
        raise ConversionError(
            f"{path} has no weights beside it: put {weights.name} into the same folder."
        )
    _check_version(path)
    model = read_model(path, "an OpenVINO IR")
    return SourceModel(
        model=model,
        path=path,
        format="openvino-ir",
        digest=digest_files([path, weights]),
        framework_version=_version(model),
        model_info=deployment_facts(path) | _model_info(model),
    )


def _check_version(path: Path) -> None:
    """Raises ConversionError for a file that is no IR, or one that OpenVINO no longer reads."""
    try:
        with path.open("rb") as file:
            _, root = next(iter(iterparse(file, events=("start",))))
    except (SyntaxError, ValueError, StopIteration, DefusedXmlException) as error:
        raise ConversionError(
            f"{path} is not an OpenVINO IR ({error}): copy or export it again."
        ) from error
    version = root.get("version", "")
    if root.tag != "net" or not version.isdecimal():
        raise ConversionError(
            f"{path} is not an OpenVINO IR: its XML is a <{root.tag}>, not a <net> with a version."
        )
    if int(version) < _OLDEST_VERSION:
        raise ConversionError(
            f"{path} is an IR of version {version}, but OpenVINO reads version {_OLDEST_VERSION} "
            "(2020.1) and newer: download a newer one, or convert the model that it was made from."
        )


def _version(model: ov.Model) -> str:
    for key in ("OpenVINO Runtime", "Runtime_version", "MO_version"):
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
