"""The families that are known, in the order in which they are tried."""

from __future__ import annotations

import openvino as ov

from backend.runtime.errors import ConversionError
from converter.contracts.family import Family
from converter.contracts.lost_names import REMEDY, is_nameless
from converter.contracts.model_api import ModelApi
from converter.contracts.od_api import OdApi
from converter.contracts.omz_legacy import OMZ_IM_INFO, OMZ_IMAGE_INFO
from converter.contracts.rf_detr import RfDetr
from converter.contracts.torch_tuple import DETECTRON2, TORCHVISION
from converter.contracts.yolo import Yolo
from converter.graph import describe_ports

_FAMILIES: tuple[Family, ...] = (
    OdApi(),
    ModelApi(),
    Yolo(),
    RfDetr(),
    OMZ_IM_INFO,
    OMZ_IMAGE_INFO,
    DETECTRON2,
    TORCHVISION,
)
FAMILY_NAMES: tuple[str, ...] = tuple(family.name for family in _FAMILIES)


# Reasons that say no more than that it is another family
_FAR_OFF = ("there is no ", "there are no ", "it does not have ", "no output looks like ")


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
        if not reason.startswith(_FAR_OFF):
            against.append(f"{family.name}: {reason}")
    shown = describe_ports(model.outputs)
    if is_nameless(model):
        raise ConversionError(
            f"the outputs are named only {shown}, which does not tell what they are: {REMEDY}."
        )
    near = f" ({'; '.join(against)})" if against else ""
    raise ConversionError(
        f"the model is no detector or instance segmentation of a known family{near}; its outputs "
        f"are {shown}: see 'labelvino-model list' for the families, and name outputs with --output."
    )
