"""The families that are known, in the order in which they are tried."""

from __future__ import annotations

import re

import openvino as ov

from backend.runtime.errors import ConversionError
from converter.contracts.family import Family
from converter.contracts.model_api import ModelApi
from converter.contracts.od_api import OdApi
from converter.contracts.omz_legacy import OMZ_IM_INFO, OMZ_IMAGE_INFO
from converter.contracts.torch_tuple import DETECTRON2, TORCHVISION
from converter.contracts.yolo import Yolo
from converter.graph import describe_ports, outputs_by_name

_FAMILIES: tuple[Family, ...] = (
    OdApi(),
    ModelApi(),
    Yolo(),
    OMZ_IM_INFO,
    OMZ_IMAGE_INFO,
    DETECTRON2,
    TORCHVISION,
)
FAMILY_NAMES: tuple[str, ...] = tuple(family.name for family in _FAMILIES)


def family_named(name: str) -> Family:
    """Raises ConversionError for a name that is not known."""
    for family in _FAMILIES:
        if family.name == name:
            return family
    raise ConversionError(f"there is no family '{name}': use {' or '.join(FAMILY_NAMES)}.")


def detect(model: ov.Model) -> tuple[Family, str]:
    """The family a model belongs to, and why. Raises ConversionError with what speaks against all.

    The outputs' names and shapes decide; nothing is guessed from values.
    """
    against = []
    for family in _FAMILIES:
        fits, reason = family.recognise(model)
        if fits:
            return family, reason
        against.append(f"{family.name}: {reason}")
    shown = describe_ports(model.outputs)
    names = outputs_by_name(model)
    if names and all(
        re.match(r"(Identity|StatefulPartitionedCall)\b|Identity_\d+", n)
        for n in _short_names(model)
    ):
        raise ConversionError(
            f"the outputs are named only {shown}, which does not tell what they are: convert the "
            "SavedModel that the graph was frozen from."
        )
    raise ConversionError(
        "the model is no detector or instance segmentation of a known family "
        f"({'; '.join(against)}); its outputs are {shown}."
    )


def _short_names(model: ov.Model) -> list[str]:
    return [min(p.get_names() or {""}, key=lambda n: (len(n), n)) for p in model.outputs]
