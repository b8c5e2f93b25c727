"""Label configs, read for one model: where its labels go, from which score on, and the version."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from threading import Lock

from backend.labelstudio.label_config import LabelConfig, parse_label_config
from backend.labelstudio.region_plan import (
    ControlChoice,
    RegionPlan,
    Thresholds,
    plan_regions,
    thresholds_digest,
)
from backend.runtime.contract import ModelContract
from backend.runtime.errors import LabelConfigError

log = logging.getLogger("labelvino")

_REMEMBERED_CONFIGS = 256
_PlanKey = tuple[str, tuple[tuple[str, float], ...]]  # label config, tuned thresholds


@dataclass(frozen=True)
class ConfigPlan:
    """A label config, read for this model.

    `plans`: by image tag name; `notes`: what could not be mapped, in plain sentences.
    """

    config: LabelConfig
    plans: Mapping[str, RegionPlan]
    model_version: str
    notes: tuple[str, ...]


class ConfigPlanner:
    """Reads label configs and remembers the last ones; may be called from any thread."""

    def __init__(
        self,
        contract: ModelContract,
        model_digest: str,
        choice: ControlChoice = "auto",
        *,
        command_line_threshold: float | None = None,
        settings_threshold: float | None = None,
        only: tuple[str, ...] = (),
    ) -> None:
        """`model_digest`: hex digest of the weights and of the facts that change results; `only`:
        labels of the configs that get regions; empty: all."""
        self._only = only
        self._contract = contract
        self._model_digest = model_digest
        self._choice = choice
        self._thresholds = Thresholds(
            model=contract.score_threshold,
            command_line=command_line_threshold,
            settings=settings_threshold,
        )
        self._plans: OrderedDict[_PlanKey, ConfigPlan] = OrderedDict()
        self._lock = Lock()

    def plan(self, label_config: str, tuned: Mapping[str, float] | None = None) -> ConfigPlan:
        """Read a label config; what cannot be mapped is logged once a config.

        `tuned`: thresholds tuned for the project, by model label. Raises LabelConfigError.
        """
        key = label_config, tuple(sorted(tuned.items())) if tuned else ()
        with self._lock:
            if key in self._plans:
                self._plans.move_to_end(key)
                return self._plans[key]
        plan = self._read(label_config, replace(self._thresholds, tuned=tuned or {}))
        with self._lock:
            known = any(config == label_config for config, _ in self._plans)
            self._plans[key] = plan
            while len(self._plans) > _REMEMBERED_CONFIGS:
                self._plans.popitem(last=False)
        if plan.notes and not known:
            for note in plan.notes:
                log.warning("label config: %s", note)
            names = ", ".join(self._contract.label_names)
            log.warning("label config: the model's labels are: %s", names)
        return plan

    @property
    def versions(self) -> tuple[str, ...]:
        """The default model version, and those of the configs read lately."""
        with self._lock:
            used = [plan.model_version for plan in self._plans.values()]
        return tuple(dict.fromkeys([self.default_version, *used]))

    @property
    def default_version(self) -> str:
        """The model version where the config sets no thresholds of its own."""
        return self._version({})

    @property
    def version_start(self) -> str:
        """How the model versions of this model begin, whatever the thresholds."""
        return f"{self._contract.name}-{self._model_digest[:8]}-"

    def _read(self, label_config: str, thresholds: Thresholds) -> ConfigPlan:
        config = parse_label_config(label_config)
        _check_labels(config, self._only)
        served = {control.to_name for control in config.controls}
        plans = {
            image.name: plan_regions(
                config,
                image.name,
                self._contract.label_names,
                has_masks=self._contract.mask_frame is not None,
                thresholds=thresholds,
                choice=self._choice,
                only=self._only,
            )
            for image in config.images
            if image.name in served
        }
        notes = dict.fromkeys(note for plan in plans.values() for note in plan.notes)
        return ConfigPlan(config, plans, self._version(plans), tuple(notes))

    def _version(self, plans: Mapping[str, RegionPlan]) -> str:
        """Name, digest of the model, digest of the thresholds in force."""
        digest = thresholds_digest(plans, self._thresholds.default, self._only)
        return f"{self.version_start}{digest[:6]}"


def _check_labels(config: LabelConfig, wanted: tuple[str, ...]) -> None:
    """Raises LabelConfigError for a label that no control has."""
    known = {name for control in config.controls for tag in control.labels for name in tag.names}
    missing = [name for name in wanted if name not in known]
    if missing:
        raise LabelConfigError(
            f"the label config has no label '{missing[0]}': it has {', '.join(sorted(known))}."
        )
