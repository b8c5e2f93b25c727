"""Settings -> how thresholds are chosen."""

from __future__ import annotations

from backend.corrections.tuning.effort import CostModel
from backend.corrections.tuning.tuning import TuningOptions
from backend.settings import Settings


def tuning_options(settings: Settings, seed: int = 0) -> TuningOptions:
    """`seed`: of what is left to chance."""
    costs = CostModel(
        settings.tune_delete_s,
        settings.tune_draw_s,
        settings.tune_reshape_s,
        settings.tune_reshape_below,
    )
    return TuningOptions(settings.tune_objective, costs, seed=seed)
