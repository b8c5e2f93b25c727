"""A fixed input size, for devices that fail on dynamic shapes."""

from __future__ import annotations

from dataclasses import replace

from backend.runtime.errors import ConversionError
from converter.contracts import Adapted
from converter.sources.source import reason_of


def fix_size(adapted: Adapted, height: int, width: int) -> Adapted:
    """The model with the input [1,height,width,3]; images are then scaled to fit and padded.

    A rule that stretches or letterboxes goes on doing so. Raises ConversionError where the graph
    cannot have that size.
    """
    old = adapted.resize
    kind = old.kind if old.kind in ("stretch", "letterbox") else "fit"
    rule = replace(old, kind=kind, width=width, height=height, short=0, long=0)
    try:
        adapted.model.reshape({"image": [1, height, width, 3]})
    except RuntimeError as error:
        raise ConversionError(
            f"the model cannot have the fixed input {height} {width}: {reason_of(error)}: choose "
            "another --static size, or leave it out."
        ) from error
    return replace(adapted, resize=rule)
