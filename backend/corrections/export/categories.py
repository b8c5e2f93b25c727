"""A project's labels -> COCO categories, by a model's ids where there is a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from backend.labelstudio.label_config import LabelConfig, LabelTag, map_labels, normalise
from backend.runtime.contract import Label


@dataclass(frozen=True)
class Category:
    """`id` is 1 or more."""

    id: int
    name: str


@dataclass
class Categories:
    """By label as regions have it; a label that the config does not have gets the next id.

    `notes`: which labels have no counterpart in the model, in plain sentences.
    """

    by_label: dict[str, Category]
    next_id: int
    notes: tuple[str, ...] = ()
    foreign: list[str] = field(default_factory=list)

    def of(self, label: str) -> Category:
        found = self.by_label.get(label)
        if found is None:
            found = self.by_label[label] = Category(self.next_id, label)
            self.next_id += 1
            self.foreign.append(label)
        return found

    def to_json(self) -> list[dict[str, object]]:
        """COCO's `categories`, by id; several labels may be one category."""
        found = sorted(set(self.by_label.values()), key=lambda each: each.id)
        return [{"id": each.id, "name": each.name} for each in found]


def categories_of(config: LabelConfig, model_labels: Sequence[Label] | None = None) -> Categories:
    """1, 2, ... in the config's order; with a model, id and name of the label that becomes it.

    A label that several of the model's labels become, or that shares one with another label of the
    config, has the id of the model's label of its own name, else a new one.
    """
    tags: dict[str, LabelTag] = {}
    for control in config.controls:
        for tag in control.labels:
            tags.setdefault(tag.written, tag)
    if model_labels is None:
        found = {label: Category(i, label) for i, label in enumerate(tags, start=1)}
        return Categories(found, len(found) + 1)
    claims = _claims(config, model_labels)
    by_name = {normalise(label.name): label for label in model_labels}
    number = max((label.id for label in model_labels), default=0) + 1
    by_label: dict[str, Category] = {}
    notes = []
    for label, tag in tags.items():
        own = claims[label]
        alone = len(own) == 1 and all(
            other == label or own.isdisjoint(theirs) for other, theirs in claims.items()
        )
        named = next((by_name[n] for n in map(normalise, tag.names) if n in by_name), None)
        meant = model_labels[next(iter(own))] if alone else named
        if meant is not None:
            by_label[label] = Category(meant.id, meant.name)
            continue
        by_label[label] = Category(number, label)
        notes.append(f"'{label}' is no single label of the model: its category is {number}")
        number += 1
    return Categories(by_label, number, tuple(notes))


def _claims(config: LabelConfig, model_labels: Sequence[Label]) -> dict[str, set[int]]:
    """The model's labels (by index) that become each label of the config."""
    claims: dict[str, set[int]] = {}
    names = tuple(label.name for label in model_labels)
    for control in config.controls:
        for tag in control.labels:
            claims.setdefault(tag.written, set())
        for index, targets in enumerate(map_labels(control, names).targets):
            for tag in targets:
                claims[tag.written].add(index)
    return claims
