"""What a label config asks of a model: where each model label goes, and from which score on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from backend.labelstudio.label_config import (
    KINDS,
    Control,
    ControlKind,
    LabelConfig,
    LabelMapping,
    LabelTag,
    map_labels,
)

ControlChoice = Literal["auto", "all", "polygon", "brush", "rectangle"]


@dataclass(frozen=True)
class Thresholds:
    """Score thresholds by where they come from; the first that is given counts.

    Command line, the label's or else the control's attribute in the config, tuned for the project
    (by model label), settings, the model's own.
    """

    model: float
    command_line: float | None = None
    tuned: Mapping[str, float] = field(default_factory=dict)
    settings: float | None = None

    def of(self, control: Control, tag: LabelTag, model_label: str) -> float:
        """The threshold in force for one label of one control."""
        candidates = (
            self.command_line,
            tag.score_threshold,
            control.score_threshold,
            self.tuned.get(model_label),
            self.settings,
        )
        return next((value for value in candidates if value is not None), self.model)

    @property
    def default(self) -> float:
        """The threshold where no config says otherwise."""
        given = self.command_line if self.command_line is not None else self.settings
        return self.model if given is None else given


@dataclass(frozen=True)
class Target:
    """One region to write for a detection of a model label, if its score reaches the threshold."""

    control: Control
    tag: LabelTag
    score_threshold: float


@dataclass(frozen=True)
class RegionPlan:
    """Targets of one image tag, by model label index; `notes` say what could not be mapped."""

    targets: tuple[tuple[Target, ...], ...]
    notes: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not any(self.targets)

    @property
    def lowest_threshold(self) -> float:
        """Detections below it are of no use; 1.0 where there is no target."""
        return min((t.score_threshold for ts in self.targets for t in ts), default=1.0)


def plan_regions(
    config: LabelConfig,
    image_name: str,
    model_labels: tuple[str, ...],
    *,
    has_masks: bool,
    thresholds: Thresholds,
    choice: ControlChoice = "auto",
    only: tuple[str, ...] = (),
) -> RegionPlan:
    """Decide where each model label goes in the image tag `image_name`.

    `only`: the config's labels that get regions, by value or alias; empty: all.
    `auto`: polygons where a polygon control claims the label, else brush; rectangles besides.
    `all`: every control that claims it. A single kind: only controls of that kind.
    """
    notes = list(config.notes)
    controls = [control for control in config.controls if control.to_name == image_name]
    if not has_masks and any(control.kind != "rectangle" for control in controls):
        controls = [control for control in controls if control.kind == "rectangle"]
        notes.append(
            "The model is a detector without masks, so that only rectangles can be predicted."
        )
    mappings = [map_labels(control, model_labels) for control in controls]
    for mapping in mappings:
        if mapping.unclaimed:
            notes.append(
                f"'{mapping.control.name}': the model has no label for "
                f"{', '.join(repr(value) for value in mapping.unclaimed)}."
            )
    targets = tuple(
        tuple(
            Target(mapping.control, tag, thresholds.of(mapping.control, tag, name))
            for mapping in _chosen(mappings, index, choice)
            for tag in mapping.targets[index]
            if not only or not set(only).isdisjoint(tag.names)
        )
        for index, name in enumerate(model_labels)
    )
    if not any(targets):
        notes.append(f"No label of the config for '{image_name}' can be predicted.")
    return RegionPlan(targets, tuple(dict.fromkeys(notes)))


def thresholds_digest(
    plans: Mapping[str, RegionPlan], default: float, only: tuple[str, ...] = ()
) -> str:
    """SHA-256 (hex) of the thresholds in force: the default, and where targets differ from it.

    `only`: the labels that get regions, where not all do.
    """
    own = sorted(
        (name, t.control.name, t.tag.value, t.score_threshold)
        for name, plan in plans.items()
        for targets in plan.targets
        for t in targets
        if t.score_threshold != default
    )
    facts = (default, own, sorted(set(only))) if only else (default, own)
    return hashlib.sha256(repr(facts).encode()).hexdigest()


def _chosen(
    mappings: list[LabelMapping], label_index: int, choice: ControlChoice
) -> list[LabelMapping]:
    claiming = [mapping for mapping in mappings if mapping.targets[label_index]]
    if choice == "all":
        return claiming
    kinds: set[ControlKind] = {kind for kind in KINDS if kind == choice}
    if choice == "auto":
        present = {mapping.control.kind for mapping in claiming}
        kinds = {"rectangle", "polygon" if "polygon" in present else "brush"}
    return [mapping for mapping in claiming if mapping.control.kind in kinds]
