"""A fixed input size, for devices that fail on dynamic shapes."""

from __future__ import annotations

from dataclasses import replace

from backend.runtime.contract import ResizeKind, ResizeRule
from backend.runtime.errors import ConversionError
from converter.contracts import Adapted
from converter.sources.source import reason_of


def fix_size(adapted: Adapted, height: int, width: int) -> Adapted:
    """The model with the input [1,height,width,3]; images are then scaled to fit and padded.

    A rule that stretches goes on stretching. Raises ConversionError where the graph cannot have
    that size.
    """
    kind: ResizeKind = "stretch" if adapted.resize.kind == "stretch" else "fit"
    rule = ResizeRule(kind, width=width, height=height)
    try:
        adapted.model.reshape({"image": [1, height, width, 3]})
    except RuntimeError as error:
        raise ConversionError(
            f"the model cannot have the fixed input {height} {width}: {reason_of(error)}: choose "
            "another --static size, or leave it out."
        ) from error
    return replace(adapted, resize=rule)
