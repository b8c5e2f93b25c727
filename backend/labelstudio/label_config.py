"""Label config XML -> controls, and which of their labels each model label becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.runtime.errors import LabelConfigError

ControlKind = Literal["polygon", "brush", "rectangle"]
KINDS: tuple[ControlKind, ...] = ("polygon", "brush", "rectangle")
_WITH_LABELS: dict[str, ControlKind] = {
    "polygonlabels": "polygon",
    "brushlabels": "brush",
    "rectanglelabels": "rectangle",
}
_SHAPES: dict[str, ControlKind] = {kind: kind for kind in KINDS}
_TRUE = frozenset({"1", "true", "yes"})
MAX_CONFIG_CHARS = 2_000_000


@dataclass(frozen=True)
class LabelTag:
    """One `<Label>`: its value, the model labels it asks for, and its own threshold if any."""

    value: str
    predicted_values: tuple[str, ...] = ()
    score_threshold: float | None = None


@dataclass(frozen=True)
class ImageTag:
    """One `<Image>`: its name and the task field(s) that hold its address.

    `is_list`: the field holds several addresses (`valueList`), each with an item index.
    """

    name: str
    field: str
    is_list: bool = False


@dataclass(frozen=True)
class Control:
    """A control that regions can be written for.

    `labels_name`: name of the `<Labels>` that carries the labels of a bare `<Polygon>`, `<Brush>`
    or `<Rectangle>`; None where the control has labels of its own.
    """

    name: str
    kind: ControlKind
    to_name: str
    labels: tuple[LabelTag, ...]
    labels_name: str | None = None
    score_threshold: float | None = None
    polygon_detail: float | None = None

    @property
    def result_type(self) -> str:
        """The `type` of its results."""
        return self.kind if self.labels_name else f"{self.kind}labels"


@dataclass(frozen=True)
class LabelConfig:
    """What matters of a labelling config; `notes` say what was left aside, and why."""

    images: tuple[ImageTag, ...]
    controls: tuple[Control, ...]
    notes: tuple[str, ...] = ()

    def image(self, name: str) -> ImageTag:
        return next(image for image in self.images if image.name == name)


@dataclass(frozen=True)
class LabelMapping:
    """For one control: the label tags that each model label becomes (by index, maybe none)."""

    control: Control
    targets: tuple[tuple[LabelTag, ...], ...]

    @property
    def unclaimed(self) -> tuple[str, ...]:
        """Labels of the control that no model label becomes."""
        reached = {tag.value for tags in self.targets for tag in tags}
        return tuple(tag.value for tag in self.control.labels if tag.value not in reached)


@lru_cache(maxsize=64)
def parse_label_config(xml: str) -> LabelConfig:
    """Read a labelling config.

    Raises LabelConfigError where it is not XML, or has no image, or nothing to write regions for.
    """
    if len(xml) > MAX_CONFIG_CHARS:
        raise LabelConfigError(
            f"the labelling config is longer than {MAX_CONFIG_CHARS} characters."
        )
    try:
        root = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise LabelConfigError(f"the labelling config is not well-formed XML: {error}.") from error
    images = tuple(_images(root))
    names = {image.name for image in images}
    notes: list[str] = []
    controls = tuple(control for control in _controls(root, notes) if control.to_name in names)
    if not images:
        raise LabelConfigError('the labelling config has no <Image name="..." value="$...">.')
    if not controls:
        raise LabelConfigError(
            "the labelling config has no PolygonLabels, BrushLabels or RectangleLabels (nor "
            "Polygon, Brush or Rectangle with Labels) for its image: add one of them."
            + "".join(f" {note}" for note in notes)
        )
    return LabelConfig(images, controls, tuple(notes))


def map_labels(control: Control, model_labels: tuple[str, ...]) -> LabelMapping:
    """Decide for each model label which labels of the control it becomes.

    Tiers: predicted_values, the exact name, the normalised name; the first that hits counts.
    Several labels that claim the same model label each get a region.
    """
    return LabelMapping(control, tuple(_claimants(control.labels, name) for name in model_labels))


def normalise(name: str) -> str:
    """A label's name without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]+", "", name).casefold()


def _claimants(tags: tuple[LabelTag, ...], name: str) -> tuple[LabelTag, ...]:
    plain = normalise(name)
    tiers = (
        lambda tag: plain in {normalise(value) for value in tag.predicted_values},
        lambda tag: tag.value == name,
        lambda tag: normalise(tag.value) == plain,
    )
    for claims in tiers:
        if found := tuple(tag for tag in tags if claims(tag)):
            return found
    return ()


def _images(root: Element) -> Iterator[ImageTag]:
    for tag in root.iter():
        if _kind(tag) != "image" or not tag.get("name"):
            continue
        value, values = tag.get("value", ""), tag.get("valueList", "")
        if values.startswith("$"):
            yield ImageTag(tag.attrib["name"], values[1:], is_list=True)
        elif value.startswith("$"):
            yield ImageTag(tag.attrib["name"], value[1:])


def _controls(root: Element, notes: list[str]) -> Iterator[Control]:
    label_tags = [tag for tag in root.iter() if _kind(tag) == "labels"]
    for tag in root.iter():
        tag_kind = _kind(tag)
        kind = _WITH_LABELS.get(tag_kind) or _SHAPES.get(tag_kind)
        name, to_name = tag.get("name", ""), tag.get("toName", "")
        if kind is None or not name:
            continue
        if _is_true(tag.get("model_skip")):
            notes.append(f"'{name}' is left out (model_skip).")
            continue
        if tag_kind in _WITH_LABELS:
            yield _control(tag, tag, kind, None, notes)
            continue
        paired = next((labels for labels in label_tags if labels.get("toName") == to_name), None)
        if paired is None:
            notes.append(f"'{name}' has no <Labels> for the same image and is left out.")
        else:
            yield _control(tag, paired, kind, paired.get("name"), notes)


def _control(
    tag: Element, labelled: Element, kind: ControlKind, labels_name: str | None, notes: list[str]
) -> Control:
    name = tag.attrib["name"]
    labels = tuple(
        LabelTag(
            label.attrib["value"],
            tuple(v.strip() for v in label.get("predicted_values", "").split(",") if v.strip()),
            _threshold(label, notes),
        )
        for label in labelled.iter()
        if _kind(label) == "label" and label.get("value")
    )
    if not labels:
        notes.append(f"'{name}' has no <Label> in the config and gets no predictions.")
    detail = _number(tag, "polygon_detail", 0.5, notes)
    threshold = _threshold(tag, notes)
    if threshold is None and labelled is not tag:
        threshold = _threshold(labelled, notes)
    return Control(name, kind, tag.get("toName", ""), labels, labels_name, threshold, detail)


def _threshold(tag: Element, notes: list[str]) -> float | None:
    for attribute in ("model_score_threshold", "score_threshold"):
        if attribute in tag.attrib:
            return _number(tag, attribute, 0.0, notes)
    return None


def _number(tag: Element, attribute: str, low: float, notes: list[str]) -> float | None:
    text: str | None = tag.get(attribute)
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if low <= value <= 1.0:
        return value
    where = tag.get("name") or tag.get("value")
    notes.append(f"{attribute}=\"{text}\" of '{where}' is not a number within {low:g}..1; ignored.")
    return None


def _kind(tag: Element) -> str:
    name: Any = tag.tag  # comments have a function here
    return name.lower() if isinstance(name, str) else ""


def _is_true(text: str | None) -> bool:
    return text is not None and text.strip().lower() in _TRUE
