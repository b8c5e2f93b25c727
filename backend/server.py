"""The ML backend protocol of Label Studio over HTTP."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import Any

import anyio.to_thread
import orjson
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from backend.metrics import Metrics
from backend.model_slot import ModelSlot
from backend.predictor import Predictor, TaskOutcome
from backend.protocol import (
    PredictRequest,
    RequestError,
    SetupRequest,
    parse_event,
    parse_predict,
    parse_setup,
    request_schema,
)
from backend.request_guard import RequestGuard, json_response
from backend.runtime.errors import LabelConfigError
from backend.settings import Settings
from backend.training import WHAT_IT_IS, TrainingDesk
from backend.tuned.reader import TunedReader
from backend.tuned.record import Thresholds

log = logging.getLogger("labelvino")

# Requests that wait for the prediction pool at once; more of them queue, within their budget.
_WAITING_REQUESTS = 64


def create_app(
    slot: ModelSlot,
    settings: Settings,
    metrics: Metrics | None = None,
    tuned: TunedReader | None = None,
    training: TrainingDesk | None = None,
) -> FastAPI:
    """The application; it holds no state of a project, since each request carries its config.

    `tuned`: the thresholds tuned for projects; None knows none. `training`: takes Start
    Training; None does nothing.
    """
    app = FastAPI(title="labelvino", version=version("labelvino"), docs_url=None, redoc_url=None)
    metrics = metrics or Metrics()
    server = _Server(
        slot,
        settings,
        metrics,
        tuned or TunedReader(),
        training or TrainingDesk(None, "this server has no settings for it."),
    )
    app.add_middleware(RequestGuard, settings=settings, metrics=metrics)
    app.add_exception_handler(HTTPException, _http_error)
    for path in ("/", "/health"):
        app.add_api_route(path, server.health, methods=["GET"])
        app.add_api_route(path, server.health, methods=["HEAD"], include_in_schema=False)
    app.post("/setup", openapi_extra=request_schema(SetupRequest))(server.setup)
    app.post("/predict", openapi_extra=request_schema(PredictRequest))(server.predict)
    app.post("/webhook", status_code=201)(server.webhook)
    app.get("/training")(server.training)
    app.get("/versions")(server.versions)
    app.get("/metrics")(server.metrics)
    return app


class _Server:
    """The handlers of one application."""

    def __init__(
        self,
        slot: ModelSlot,
        settings: Settings,
        metrics: Metrics,
        tuned: TunedReader,
        training: TrainingDesk,
    ) -> None:
        self._tuned = tuned
        metrics.tuned(tuned, lambda: slot.current.engine.model_digest)
        self._training = training
        metrics.training(training)
        self._slot = slot
        self._settings = settings
        self._metrics = metrics
        self._limiter: CapacityLimiter | None = None
        if slot.current.cache is not None:
            metrics.cache(slot.current.cache.counts)

    async def health(self) -> Response:
        """Whether the backend is up; also answered while predictions run."""
        version = self._slot.current.planner.default_version
        return json_response({"status": "UP", "model_class": "labelvino", "model_version": version})

    async def setup(self, request: Request) -> Response:
        """The model version that predictions for this label config will have.

        A config that cannot be used is no error here, since Label Studio would refuse to connect
        a project whose config is still to be written: the answer's `notes` say what is missing.
        """
        body = parse_setup(await self._read(request))
        return json_response(await anyio.to_thread.run_sync(self._setup, body))

    async def predict(self, request: Request) -> Response:
        """One result a task, in order; `{}` for a task that failed or was not reached in time."""
        data = await self._read(request)
        if self._limiter is None:
            self._limiter = CapacityLimiter(_WAITING_REQUESTS)
        arrival: float = request.state.arrival
        body = await anyio.to_thread.run_sync(self._predict, data, arrival, limiter=self._limiter)
        return Response(body, media_type="application/json")

    async def webhook(self, request: Request) -> Response:
        """Events of Label Studio: Start Training tunes thresholds, after the answer."""
        data = await self._read(request)
        event = await anyio.to_thread.run_sync(parse_event, data)
        return json_response(self._training.event(event.action, event.project_id), 201)

    async def training(self) -> Response:
        """What came of Start Training, the last time in each project."""
        return json_response({"what": WHAT_IT_IS, "projects": self._training.runs()})

    async def versions(self) -> Response:
        """The model versions that this backend can give."""
        return json_response({"versions": list(self._slot.current.planner.versions)})

    async def metrics(self) -> Response:
        """Prometheus metrics."""
        engine = self._slot.current.engine
        self._metrics.model(
            engine.contract.name,
            engine.model_digest[:12],
            ",".join(engine.execution_devices),
            engine.precision,
        )
        return Response(self._metrics.render(), media_type="text/plain; version=0.0.4")

    def _setup(self, body: SetupRequest) -> dict[str, Any]:
        predictor = self._slot.current
        answer: dict[str, Any] = {
            "model_version": predictor.planner.default_version,
            "labels": list(predictor.engine.contract.label_names),
        }
        try:
            tuned = self._thresholds(predictor, body.project)
            plan = predictor.plan(body.schema or "", tuned)
        except LabelConfigError as error:
            log.warning("setup of project %s: %s", body.project, error)
            return {**answer, "notes": [str(error)]}
        notes = list(plan.notes)
        if tuned:
            notes.append(f"Thresholds tuned for this project are in force for {len(tuned)} labels.")
        return {**answer, "model_version": plan.model_version, "notes": notes}

    def _predict(self, data: bytes, arrival: float) -> bytes:
        predictor = self._slot.current
        request = parse_predict(data)
        deadline = arrival + self._settings.predict_budget_s
        tasks = [{"id": task.id, "data": task.data} for task in request.tasks]
        config = request.label_config
        tuned = self._thresholds(predictor, request.project)
        if request.is_interactive:
            outcomes = predictor.answer_prompts(tasks, config, request.context, deadline, tuned)
        else:
            outcomes = predictor.predict_tasks(tasks, config, deadline, tuned)
        self._metrics.outcomes(outcomes)
        _log_not_reached(outcomes)
        plan = predictor.plan(config, tuned)
        results = [o.prediction.to_json() if o.prediction else {} for o in outcomes]
        return orjson.dumps({"results": results, "model_version": plan.model_version})

    def _thresholds(self, predictor: Predictor, project: object) -> Thresholds:
        engine = predictor.engine
        return self._tuned.of(project, engine.model_digest, engine.contract.label_names)

    async def _read(self, request: Request) -> bytes:
        limit = self._settings.max_request_bytes
        chunks: list[bytes] = []
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > limit:
                raise RequestError(
                    413,
                    f"the request is larger than {limit} bytes: raise LABELVINO_MAX_REQUEST_BYTES.",
                )
            chunks.append(chunk)
        return b"".join(chunks)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return json_response({"error": f"{error.detail}."}, error.status_code)


def _log_not_reached(outcomes: list[TaskOutcome]) -> None:
    late = [outcome for outcome in outcomes if not outcome.reached]
    if late:
        log.warning(
            "%d of %d tasks %s and are left for the next time: %s",
            len(late),
            len(outcomes),
            late[0].reason,
            ", ".join(str(outcome.task_id) for outcome in late[:20]),
        )
