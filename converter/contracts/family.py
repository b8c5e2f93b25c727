"""What every family module offers, and what goes in and comes out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import openvino as ov

from backend.runtime.contract import Label, MaskFrame, ResizeRule

ColorOrder = Literal["rgb", "bgr"]


@dataclass(frozen=True)
class Preprocessing:
    """What the graph computes with its input, from what was asked or the source says.

    `mean_values`, `scale_values`: one a channel, in the model's own channel order, in units of
    0..255 pixels: (pixel - mean) / scale. Empty: none. `embedded`: the graph does it already.
    """

    color_order: ColorOrder | None = None
    mean_values: tuple[float, ...] = ()
    scale_values: tuple[float, ...] = ()
    embedded: bool = False


@dataclass(frozen=True)
class AdaptOptions:
    """`resize`: None where neither the command nor the source says it.

    `source_classes`: the number of classes that the source itself names, or None.
    """

    labels: tuple[Label, ...]
    resize: ResizeRule | None = None
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    mask_frame: MaskFrame | None = None
    source_classes: int | None = None


@dataclass(frozen=True, eq=False)
class Adapted:
    """A model that follows the contract, and the facts that go with it.

    `assumed`: sentences on what nobody said and was taken for granted.
    """

    model: ov.Model
    labels: tuple[Label, ...]
    resize: ResizeRule
    mask_frame: MaskFrame | None
    assumed: tuple[str, ...] = ()


@dataclass(frozen=True)
class About:
    """A family in the words of `labelvino-model list`.

    `gives`: masks or boxes; `classes`: what its class numbers mean; `image`: what its input takes.
    """

    gives: str
    classes: str
    image: str


class Family(Protocol):
    """One way in which models say what they found."""

    name: str

    @property
    def about(self) -> About:
        """What users of a list want to know."""
        ...

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """Whether the model has this family's outputs, and why, or why not."""
        ...

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """Bring the model to the contract; the model given is used up. Raises ConversionError."""
        ...
