"""A labelling config for a model's labels."""

from __future__ import annotations

from typing import Literal
from xml.sax.saxutils import quoteattr

from backend.labelstudio.label_config import ControlKind

SmartTool = Literal["point", "box"]

_TAGS: dict[ControlKind, str] = {
    "polygon": "PolygonLabels",
    "brush": "BrushLabels",
    "rectangle": "RectangleLabels",
}
_SMART_TAGS: dict[SmartTool, str] = {"point": "KeyPointLabels", "box": "RectangleLabels"}


def write_label_config(
    labels: tuple[str, ...],
    controls: tuple[ControlKind, ...],
    colours: tuple[tuple[int, int, int], ...],
    field: str = "image",
    smart_tools: tuple[SmartTool, ...] = (),
) -> str:
    """XML with one control of each kind, all for the task's `field`.

    `colours`: RGB 0..255 of each label; `smart_tools`: what people ask the model with, for one
    object at a time.
    """
    lines = ["<View>", f'  <Image name="image" value="${field}" zoom="true" zoomControl="true"/>']
    tags = [(_TAGS[kind], f'name="{kind}" toName="image"') for kind in controls]
    for tool in smart_tools:
        smart = f'name="{tool}" toName="image" smart="true" smartOnly="true"'
        tags.append((_SMART_TAGS[tool], smart))
    for tag, attributes in tags:
        lines.append(f"  <{tag} {attributes}>")
        for label, colour in zip(labels, colours, strict=True):
            red, green, blue = colour
            background = f"#{red:02x}{green:02x}{blue:02x}"
            lines.append(
                f"    <Label value={quoteattr(label)} background={quoteattr(background)}/>"
            )
        lines.append(f"  </{tag}>")
    return "\n".join([*lines, "</View>"]) + "\n"
