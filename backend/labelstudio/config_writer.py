"""A labelling config for a model's labels."""

from __future__ import annotations

from xml.sax.saxutils import quoteattr

from backend.labelstudio.label_config import ControlKind

_TAGS: dict[ControlKind, str] = {
    "polygon": "PolygonLabels",
    "brush": "BrushLabels",
    "rectangle": "RectangleLabels",
}


def write_label_config(
    labels: tuple[str, ...],
    controls: tuple[ControlKind, ...],
    colours: tuple[tuple[int, int, int], ...],
    field: str = "image",
) -> str:
    """XML with one control of each kind, all for the task's `field`.

    `colours`: RGB 0..255 of each label.
    """
    lines = ["<View>", f'  <Image name="image" value="${field}" zoom="true" zoomControl="true"/>']
    for kind in controls:
        lines.append(f'  <{_TAGS[kind]} name="{kind}" toName="image">')
        for label, colour in zip(labels, colours, strict=True):
            red, green, blue = colour
            background = f"#{red:02x}{green:02x}{blue:02x}"
            lines.append(
                f"    <Label value={quoteattr(label)} background={quoteattr(background)}/>"
            )
        lines.append(f"  </{_TAGS[kind]}>")
    return "\n".join([*lines, "</View>"]) + "\n"
