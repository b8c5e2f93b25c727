"""The same predictor as a model of HumanSignal's label-studio-ml, 1.0.9 or 2.x.

For those who must run that package's server; `labelvino serve` needs none of it, and does more.
docs/ml-backend.md has the commands. `label-studio-ml init` copies this file out of its package.
"""

from __future__ import annotations

import logging
import os
import time
from threading import Lock
from typing import Any, NamedTuple

from flask import has_request_context, request
from label_studio_ml import model as stock

from backend.cache_access import open_result_cache
from backend.corrections.tuning.on_training import open_training_desk
from backend.fair_pool import FairPool
from backend.predictor import Predictor
from backend.runtime.errors import LabelConfigError, SettingsError
from backend.serving import open_predictor
from backend.settings import Settings, load_settings
from backend.training import START_TRAINING, TrainingDesk
from backend.tuned.access import open_tuned_reader
from backend.tuned.reader import TunedReader
from backend.tuned.record import Thresholds
from backend.tuning_lock import tuning_alone

log = logging.getLogger("labelvino")

_IS_2 = hasattr(stock.LabelStudioMLBase, "use_label_config")


class _Loaded(NamedTuple):
    """What all requests of a process share."""

    predictor: Predictor
    settings: Settings
    tuned: TunedReader
    desk: TrainingDesk

    def thresholds(self) -> Thresholds:
        """Tuned for the project of the request that is answered."""
        engine = self.predictor.engine
        return self.tuned.of(_carried("project"), engine.model_digest, engine.contract.label_names)


class _ProcessModel:
    """The model of the environment's settings, loaded once a process, at its first use."""

    def __init__(self) -> None:
        self._lock = Lock()
        # By process id. What a forked process inherits stays in here unused: it has none of the
        # threads that belong to it, and to destroy it would wait for them for ever.
        self._loaded: dict[int, _Loaded] = {}
        os.register_at_fork(after_in_child=self._renew_lock)

    def get(self) -> _Loaded:
        """May be called from any thread. Raises LabelvinoError where it cannot be loaded."""
        with self._lock:
            pid = os.getpid()
            if pid not in self._loaded:
                self._loaded[pid] = _load()
            return self._loaded[pid]

    def _renew_lock(self) -> None:
        # A thread that does not exist in this process may have held the old one.
        self._lock = Lock()


def _load() -> _Loaded:
    settings = load_settings()
    if settings.basic_auth_pass is not None and not _IS_2:
        raise SettingsError(
            "label-studio-ml 1.0.9 does not ask for BASIC_AUTH_USER and BASIC_AUTH_PASS: "
            "use `labelvino serve`, or unset them."
        )
    cache = open_result_cache(settings)
    pool = FairPool(settings.tasks_at_once)
    try:
        predictor = open_predictor(settings, pool, cache)
        desk = open_training_desk(settings, lambda: predictor, pool)
        return _Loaded(predictor, settings, open_tuned_reader(settings), desk)
    except BaseException:
        pool.stop()
        raise


_process_model = _ProcessModel()


class Labelvino(stock.LabelStudioMLBase):  # type: ignore[misc]
    """One instance a request (2.x) or /setup (1.0.9); all share the model of their process."""

    def __init__(
        self,
        project_id: str | None = None,
        label_config: str | None = None,
        train_output: object = None,  # noqa: ARG002 - 1.0.9 gives it; nothing is trained
        **kwargs: Any,
    ) -> None:
        """1.0.9 gives neither a project nor always a label config; `kwargs` are its host name,
        its dead access token and what was given with `--with`. Raises LabelvinoError under 2.x.
        """
        self._config = label_config or ""
        if _IS_2:
            super().__init__(project_id=project_id, label_config=label_config)
        else:
            # Without the config, since its own parser would refuse one that is not finished.
            super().__init__(**kwargs)

    def use_label_config(self, label_config: str) -> None:
        """2.x: its own parser would refuse a config that is not finished."""
        self._config = label_config

    def set_extra_params(self, extra_params: object) -> None:
        """2.x: nothing of it is used; its own way fails on an object."""

    def setup(self) -> None:
        """2.x: tell the model version, which it keeps in a file."""
        version = self.version
        if self.get("model_version") != version:
            self.set("model_version", version)

    @property
    def version(self) -> str:
        """The model version that predictions for the label config will have.

        A config that cannot be used is no error here, as in `labelvino serve`.
        """
        loaded = _process_model.get()
        try:
            plan = loaded.predictor.plan(self._requested_config(), loaded.thresholds())
        except LabelConfigError as error:
            log.warning("setup: %s", error)
            return loaded.predictor.planner.default_version
        return plan.model_version

    def predict(
        self,
        tasks: list[Any],
        context: object = None,
        **kwargs: Any,  # noqa: ARG002 - login and password
    ) -> list[dict[str, Any]]:
        """One prediction a task, in order; `{}` for one that failed or was not reached in time.

        `context`: what an annotator points at with smart tools; empty or None from all others.
        Raises LabelvinoError: the label config cannot be used, or the model not be loaded.
        """
        arrival = time.monotonic()
        loaded = _process_model.get()
        plain = [
            {"id": task.get("id"), "data": task.get("data")} if isinstance(task, dict) else {}
            for task in tasks
        ]
        deadline = arrival + loaded.settings.predict_budget_s
        config, tuned = self._requested_config(), loaded.thresholds()
        if isinstance(context, dict) and context:
            outcomes = loaded.predictor.answer_prompts(plain, config, context, deadline, tuned)
        else:
            outcomes = loaded.predictor.predict_tasks(plain, config, deadline, tuned)
        late = [outcome for outcome in outcomes if not outcome.reached]
        if late:
            log.warning("%d of %d tasks %s", len(late), len(outcomes), late[0].reason)
        return [outcome.prediction.to_json() if outcome.prediction else {} for outcome in outcomes]

    def process_event(
        self,
        event: object,
        data: object,
        job_id: object,  # noqa: ARG002
        additional_params: object,  # noqa: ARG002
    ) -> None:
        """1.0.9, which makes a process for each event, and knows no Start Training itself."""
        self.fit((), event=event, data=data)

    def fit(self, *args: Any, **kwargs: Any) -> dict[str, str] | None:
        """Start Training tunes thresholds, as in `labelvino serve`; other events do nothing.

        2.x calls it within the request, `fit(event, data)`: it is answered, and the work is done
        after that. 1.0.9 is not answered: it would take anything for a new model.
        """
        event = args[0] if _IS_2 and args else kwargs.get("event")
        data = args[1] if _IS_2 and len(args) > 1 else kwargs.get("data")
        project = data.get("project") if isinstance(data, dict) else None
        number = project.get("id") if isinstance(project, dict) else None
        if event != START_TRAINING or isinstance(number, bool) or not isinstance(number, int):
            return None
        loaded = _process_model.get()
        if _IS_2:
            return loaded.desk.event(event, number)
        with tuning_alone(number) as alone:
            if alone:
                loaded.desk.do_now(number)
            else:
                log.info("project %d: another process tunes it already", number)
        return None

    def _requested_config(self) -> str:
        """The config of this request. 1.0.9 keeps that of the last /setup, of any project."""
        carried = _carried("label_config")
        return carried if isinstance(carried, str) else self._config


def _carried(name: str) -> object:
    """What the request that is answered carries under this name."""
    if not has_request_context():
        return None
    body = request.get_json(silent=True)
    return body.get(name) if isinstance(body, dict) else None


def _telling(wrapper: Any) -> Any:
    """1.0.9 calls every model INITIAL, or the time; then each retrieval would add duplicates.

    Ours is asked each time, since tuned thresholds change its version.
    """

    class Telling(wrapper):  # type: ignore[misc]
        @property
        def model_version(self) -> Any:
            return self.model.version if isinstance(self.model, Labelvino) else self._told

        @model_version.setter
        def model_version(self, value: object) -> None:
            self._told = value

    return Telling


if not _IS_2:
    stock.ModelWrapper = _telling(stock.ModelWrapper)
