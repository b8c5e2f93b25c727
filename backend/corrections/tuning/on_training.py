"""What Start Training does: tunes one project with the model that serves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from backend.corrections.tuning.options import tuning_options
from backend.corrections.tuning.project_tuning import (
    ChangedError,
    ProjectTuning,
    StoppedError,
    TuningWork,
)
from backend.corrections.tuning.words import changes_line, older_line, verdict_line
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api
from backend.predictor import Predictor
from backend.settings import Settings
from backend.training import Outcome, TrainingDesk
from backend.tuned.access import open_tuned_store
from backend.tuned.reader import stored
from backend.tuned.store import TunedStore

log = logging.getLogger("labelvino")


def open_training_desk(
    settings: Settings,
    current: Callable[[], Predictor],
    pool: FairPool,
    clock: Callable[[], float] = time.monotonic,
) -> TrainingDesk:
    """`current`: the predictor that serves now; `pool`: its threads, shared with predictions.

    `clock`: as TrainingDesk takes it.
    """
    if settings.tune_on_training == "off":
        return TrainingDesk(None, "LABELVINO_TUNE_ON_TRAINING is off.")
    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        return TrainingDesk(
            None, "annotations cannot be read without LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY."
        )
    desk: TrainingDesk

    def tune(project: int) -> Outcome:
        return tune_on_training(settings, current(), pool, project, lambda: desk.stopped)

    desk = TrainingDesk(tune, clock=clock)
    return desk


def tune_on_training(
    settings: Settings,
    predictor: Predictor,
    pool: FairPool,
    project_id: int,
    stopped: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Tune, and put better thresholds in force where the settings allow. Raises LabelvinoError."""
    store: TunedStore = open_tuned_store(settings)
    api = open_api(settings)
    with api.client:
        project = api.project(str(project_id))
        engine = predictor.engine
        names = engine.contract.label_names
        before = stored(store, project.uid, engine.model_digest, names)
        options = tuning_options(settings)
        work = TuningWork(api, predictor, pool, options, settings.tune_tasks, stopped=stopped)
        found = work.run(project, before)
        if stopped():
            raise StoppedError("stopped before anything was changed.")
        return _settle(settings, found, store, api.client.shown_address)


def _settle(
    settings: Settings, found: ProjectTuning, store: TunedStore, label_studio: str
) -> Outcome:
    verdict = f"{verdict_line(found)} {older_line(found)}".strip()
    if not found.tuning.is_worth_it:
        return Outcome("nothing", verdict)
    if settings.tune_on_training != "apply":
        return Outcome(
            "reported",
            f"{verdict} {changes_line(found)} Nothing is changed: 'labelvino tune --project "
            f"{found.project.id} --apply' does it, or LABELVINO_TUNE_ON_TRAINING=apply.",
        )
    try:
        found.store(store, label_studio)
    except ChangedError as error:
        return Outcome("nothing", f"{verdict} {error}")
    return Outcome("applied", f"{verdict} {changes_line(found)} They are in force.")
