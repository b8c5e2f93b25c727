"""Where the answer to a prompt goes: into one control, with one label."""

from __future__ import annotations

from backend.labelstudio.label_config import (
    KINDS,
    Control,
    LabelConfig,
    LabelTag,
    PromptTag,
    map_labels,
)
from backend.labelstudio.prompts import Prompts
from backend.labelstudio.region_plan import RegionPlan, Target

_NO_PROMPT_TAG = PromptTag()


def prompt_targets(
    config: LabelConfig, prompts: Prompts, model_labels: tuple[str, ...], *, has_masks: bool
) -> RegionPlan:
    """For each model label the one region that an instance of it becomes, if any; no thresholds.

    The control is the tool's `prompt_control`, else the first of polygon, brush and rectangle that
    has the label. The label is the tool's, or with `prompt_label="model"` that of the instance.
    """
    tag = config.prompts.get(prompts.from_name, _NO_PROMPT_TAG)
    controls = [
        control
        for kind in KINDS
        for control in config.controls
        if control.kind == kind
        and control.to_name == prompts.to_name
        and (has_masks or kind == "rectangle")
        and tag.control in (None, control.name)
    ]
    if tag.label == "tool" and prompts.label is not None:
        target = _with_label(controls, prompts.label)
        one: tuple[Target, ...] = () if target is None else (target,)
        targets = (one,) * len(model_labels)
    else:
        targets = tuple(
            _of_model(controls, index, model_labels) for index in range(len(model_labels))
        )
    notes = () if any(targets) else (_no_target(prompts),)
    return RegionPlan(targets, notes)


def likely_labels(
    config: LabelConfig, prompts: Prompts, model_labels: tuple[str, ...]
) -> frozenset[int]:
    """The model labels that become the tool's label in any control; maybe none."""
    found: set[int] = set()
    for control in config.controls:
        if control.to_name != prompts.to_name or prompts.label is None:
            continue
        for index, tags in enumerate(map_labels(control, model_labels).targets):
            if any(prompts.label in tag.names for tag in tags):
                found.add(index)
    return frozenset(found)


def _with_label(controls: list[Control], label: str) -> Target | None:
    for control in controls:
        tag = _tag(control, label)
        if tag is not None:
            return Target(control, tag, 0.0)
    return None


def _tag(control: Control, label: str) -> LabelTag | None:
    return next((tag for tag in control.labels if label in tag.names), None)


def _of_model(
    controls: list[Control], index: int, model_labels: tuple[str, ...]
) -> tuple[Target, ...]:
    for control in controls:
        tags = map_labels(control, model_labels).targets[index]
        if tags:
            return (Target(control, tags[0], 0.0),)
    return ()


def _no_target(prompts: Prompts) -> str:
    return (
        f"the prompt of '{prompts.from_name}' cannot be answered: no polygon, brush or rectangle "
        f"control of '{prompts.to_name}' has the label '{prompts.label}'."
    )
