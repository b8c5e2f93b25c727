"""Label config XML -> controls, and which of their labels each model label becomes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from backend.runtime.errors import FetchError, LabelConfigError

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
    """One `<Label>`: its value, the model labels it asks for, and its own threshold if any.

    `alias`: what Label Studio stores instead of the value, where there is one.
    """

    value: str
    predicted_values: tuple[str, ...] = ()
    score_threshold: float | None = None
    alias: str | None = None

    @property
    def written(self) -> str:
        """How the label stands in a region."""
        return self.alias or self.value

    @property
    def names(self) -> tuple[str, ...]:
        return (self.value, self.alias) if self.alias else (self.value,)


@dataclass(frozen=True)
class ImageTag:
    """One `<Image>`: its name and the task field(s) that hold its address.

    `is_list`: the field holds several addresses (`valueList`), each with an item index.
    """

    name: str
    field: str
    is_list: bool = False

    def addresses(self, data: Mapping[str, Any]) -> list[str]:
        """Of a task's images, from its data; one, unless it `is_list`. Raises FetchError."""
        value = self._value(data)
        if self.is_list:
            if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
                raise FetchError(f"the task's field '{self.field}' is not a list of addresses.")
            return value
        if not isinstance(value, str) or not value:
            raise FetchError(f"the task's field '{self.field}' has no image address.")
        return [value]

    def _value(self, data: Mapping[str, Any]) -> object:
        """Of `$field`, which may lead into nested objects (`$photo.url`)."""
        if self.field in data:
            return data[self.field]
        value: object = data
        for key in self.field.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


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


PromptLabel = Literal["tool", "model"]


@dataclass(frozen=True)
class PromptTag:
    """A smart tool: a control that people draw prompts with.

    `label`: whose label the answer gets, that of the tool or that of the model; `control`: where
    the answer goes, None where the config does not say.
    """

    label: PromptLabel = "tool"
    control: str | None = None


@dataclass(frozen=True)
class LabelConfig:
    """What matters of a labelling config; `notes` say what was left aside, and why.

    `prompts`: the controls that say how prompts are answered, by name.
    """

    images: tuple[ImageTag, ...]
    controls: tuple[Control, ...]
    notes: tuple[str, ...] = ()
    prompts: Mapping[str, PromptTag] = field(default_factory=dict)

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
    root = _root(xml)
    notes: list[str] = []
    images = tuple(_images(root, notes))
    controls = tuple(_controls(root, {image.name for image in images}, notes))
    said = "".join(f" {note}" for note in notes)
    if not images:
        raise LabelConfigError(
            f'the labelling config has no <Image name="..." value="$field">.{said}'
        )
    if not controls:
        raise LabelConfigError(
            "the labelling config has no PolygonLabels, BrushLabels or RectangleLabels (nor "
            f"Polygon, Brush or Rectangle with Labels) for its image: add one of them.{said}"
        )
    prompts = dict(_prompts(root, {control.name for control in controls}, notes))
    return LabelConfig(images, controls, tuple(notes), prompts)


@lru_cache(maxsize=64)
def smart_only_controls(xml: str) -> frozenset[str]:
    """Names of the controls that people draw prompts with, and nothing else.

    A prompt whose answer nobody accepted may still be submitted with the annotation. Raises
    LabelConfigError for what is not XML.
    """
    tags = (tag for tag in _root(xml).iter() if _is_true(tag.get("smartOnly")))
    return frozenset(name for tag in tags if (name := tag.get("name")))


def map_labels(control: Control, model_labels: tuple[str, ...]) -> LabelMapping:
    """Decide for each model label which labels of the control it becomes.

    Tiers: predicted_values, the exact name, the normalised name; the first that hits counts.
    Several labels that claim the same model label each get a region.
    """
    tiers: tuple[_Claims, ...] = ({}, {}, {})
    for tag in control.labels:
        _claim(tiers[0], (normalise(value) for value in tag.predicted_values), tag)
        _claim(tiers[1], tag.names, tag)
        _claim(tiers[2], map(normalise, tag.names), tag)
    targets = tuple(
        tuple(
            tiers[0].get(normalise(name))
            or tiers[1].get(name)
            or tiers[2].get(normalise(name))
            or ()
        )
        for name in model_labels
    )
    return LabelMapping(control, targets)


def normalise(name: str) -> str:
    """A label's name without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_-]+", "", name).casefold()


_Claims = dict[str, dict[LabelTag, None]]  # name -> the tags that claim it, in order


def _claim(claims: _Claims, names: Iterable[str], tag: LabelTag) -> None:
    for name in names:
        claims.setdefault(name, {})[tag] = None


def _root(xml: str) -> Element:
    if len(xml) > MAX_CONFIG_CHARS:
        raise LabelConfigError(
            f"the labelling config is longer than {MAX_CONFIG_CHARS} characters."
        )
    try:
        root: Element = fromstring(xml, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise LabelConfigError(f"the labelling config is not well-formed XML: {error}.") from error
    return root


def _images(root: Element, notes: list[str]) -> Iterator[ImageTag]:
    for tag in root.iter():
        name = tag.get("name")
        if _kind(tag) != "image" or not name:
            continue
        values = tag.get("valueList", "")
        field = values or tag.get("value", "")
        if re.fullmatch(r"\$[^\[\]{}]+", field):
            yield ImageTag(name, field[1:], is_list=bool(values))
        else:
            notes.append(f"The image '{name}' is left out: its value '{field}' is not '$field'.")


def _controls(root: Element, images: set[str], notes: list[str]) -> Iterator[Control]:
    labels_of = _labels_tags(root, notes)
    for tag in root.iter():
        tag_kind = _kind(tag)
        kind = _WITH_LABELS.get(tag_kind) or _SHAPES.get(tag_kind)
        name = tag.get("name")
        if kind is None or not name:
            continue
        if _is_true(tag.get("model_skip")):
            notes.append(f"'{name}' is left out (model_skip).")
            continue
        if _is_true(tag.get("smartOnly")):
            continue  # people draw prompts with it, and nothing else
        for to_name in tag.get("toName", "").split(","):
            labelled = tag if tag_kind in _WITH_LABELS else labels_of.get(to_name)
            if to_name not in images:
                notes.append(f"'{name}' is left out: there is no usable image '{to_name}'.")
            elif labelled is None:
                notes.append(f"'{name}' has no usable <Labels> for '{to_name}' and is left out.")
            else:
                yield _control(tag, labelled, kind, to_name, notes)


def _prompts(
    root: Element, controls: set[str], notes: list[str]
) -> Iterator[tuple[str, PromptTag]]:
    for tag in root.iter():
        name, label, control = (tag.get(key) for key in ("name", "prompt_label", "prompt_control"))
        if not name or (label is None and control is None):
            continue
        if label not in (None, "tool", "model"):
            notes.append(f"prompt_label=\"{label}\" of '{name}' is not tool or model; ignored.")
        if control is not None and control not in controls:
            notes.append(f"prompt_control=\"{control}\" of '{name}' is no such control; ignored.")
            control = None
        yield name, PromptTag("model" if label == "model" else "tool", control)


def _labels_tags(root: Element, notes: list[str]) -> dict[str, Element]:
    """The `<Labels>` of each image."""
    found: dict[str, Element] = {}
    for tag in root.iter():
        name = tag.get("name")
        if _kind(tag) != "labels" or not name or _is_true(tag.get("model_skip")):
            continue
        for to_name in tag.get("toName", "").split(","):
            if found.setdefault(to_name, tag) is not tag:
                notes.append(f"'{name}' is left out: '{to_name}' has other <Labels> before it.")
    return found


def _control(
    tag: Element, labelled: Element, kind: ControlKind, to_name: str, notes: list[str]
) -> Control:
    name = tag.attrib["name"]
    by_value: dict[str, LabelTag] = {}  # a label that stands twice is one label
    for label in labelled.iter():
        value = label.get("value")
        if _kind(label) == "label" and value:
            wanted = tuple(
                filter(None, map(str.strip, label.get("predicted_values", "").split(",")))
            )
            made = LabelTag(value, wanted, _threshold(label, notes), label.get("alias") or None)
            by_value.setdefault(value, made)
    labels = tuple(by_value.values())
    labels_name = None if labelled is tag else labelled.attrib["name"]
    if not labels:
        notes.append(f"'{name}' has no <Label> in the config and gets no predictions.")
    detail = _number(tag, "polygon_detail", 0.5, notes)
    threshold = _threshold(tag, notes)
    if threshold is None and labelled is not tag:
        threshold = _threshold(labelled, notes)
    return Control(name, kind, to_name, labels, labels_name, threshold, detail)


def _threshold(tag: Element, notes: list[str]) -> float | None:
    new = _number(tag, "model_score_threshold", 0.0, notes)
    return new if new is not None else _number(tag, "score_threshold", 0.0, notes)


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
