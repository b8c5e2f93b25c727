"""The ML backend protocol of Label Studio over HTTP."""

from __future__ import annotations

import base64
import hmac
import logging
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import Any

import anyio.to_thread
import orjson
from anyio import CapacityLimiter
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from backend.logs import choose_request_id, request_id
from backend.metrics import Metrics
from backend.model_slot import ModelSlot
from backend.predictor import TaskOutcome
from backend.protocol import (
    PredictRequest,
    RequestError,
    SetupRequest,
    parse_predict,
    parse_setup,
    request_schema,
)
from backend.runtime.errors import LabelConfigError, LabelvinoError
from backend.settings import Settings

log = logging.getLogger("labelvino")

# Requests that wait for the prediction pool at once; more of them queue, within their budget.
_WAITING_REQUESTS = 64
_OPEN_PATHS = frozenset({"/", "/health"})
_PATHS = frozenset({"/", "/health", "/setup", "/predict", "/webhook", "/versions", "/metrics"})


def create_app(slot: ModelSlot, settings: Settings, metrics: Metrics | None = None) -> FastAPI:
    """The application; it holds no state of a project, since each request carries its config."""
    app = FastAPI(title="labelvino", version=version("labelvino"), docs_url=None, redoc_url=None)
    server = _Server(slot, settings, metrics or Metrics())
    app.middleware("http")(server.guard)
    app.add_exception_handler(HTTPException, _http_error)
    for path in ("/", "/health"):
        app.add_api_route(path, server.health, methods=["GET"])
        app.add_api_route(path, server.health, methods=["HEAD"], include_in_schema=False)
    app.post("/setup", openapi_extra=request_schema(SetupRequest))(server.setup)
    app.post("/predict", openapi_extra=request_schema(PredictRequest))(server.predict)
    app.post("/webhook", status_code=201)(server.webhook)
    app.get("/versions")(server.versions)
    app.get("/metrics")(server.metrics)
    return app


class _Server:
    """The handlers of one application."""

    def __init__(self, slot: ModelSlot, settings: Settings, metrics: Metrics) -> None:
        self._slot = slot
        self._settings = settings
        self._metrics = metrics
        self._limiter: CapacityLimiter | None = None
        if slot.current.cache is not None:
            metrics.cache(slot.current.cache.counts)

    async def guard(
        self, request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Name, authenticate, time and log each request; turn errors into one sentence."""
        identity = choose_request_id(request.headers.get("X-Request-ID"))
        token = request_id.set(identity)
        try:
            response = await self._answer(request, answer)
        finally:
            request_id.reset(token)
        response.headers["X-Request-ID"] = identity
        return response

    async def _answer(
        self, request: Request, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        start = time.monotonic()
        request.state.arrival = start
        path = request.url.path if request.url.path in _PATHS else "other"
        try:
            self._authenticate(request)
            response = await answer(request)
        except RequestError as error:
            response = _refusal(path, error.status, str(error))
            if error.status == 401:
                response.headers["WWW-Authenticate"] = 'Basic realm="labelvino"'
        except LabelvinoError as error:
            response = _refusal(path, 400, str(error))
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it; the log shows it
        except Exception:
            log.exception("%s %s failed", request.method, path)
            response = _json({"error": "internal error; the backend's log has the details."}, 500)
        seconds = time.monotonic() - start
        self._metrics.request(path, response.status_code, seconds)
        level = logging.DEBUG if path in _OPEN_PATHS else logging.INFO
        if response.status_code >= 400:
            level = logging.WARNING
        log.log(
            level, "%s %s %d %.0f ms", request.method, path, response.status_code, seconds * 1000
        )
        return response

    async def health(self) -> Response:
        """Whether the backend is up; also answered while predictions run."""
        version = self._slot.current.planner.default_version
        return _json({"status": "UP", "model_class": "labelvino", "model_version": version})

    async def setup(self, request: Request) -> Response:
        """The model version that predictions for this label config will have.

        A config that cannot be used is no error here, since Label Studio would refuse to connect
        a project whose config is still to be written: the answer's `notes` say what is missing.
        """
        body = parse_setup(await self._read(request))
        return _json(await anyio.to_thread.run_sync(self._setup, body))

    async def predict(self, request: Request) -> Response:
        """One result a task, in order; `{}` for a task that failed or was not reached in time."""
        data = await self._read(request)
        if self._limiter is None:
            self._limiter = CapacityLimiter(_WAITING_REQUESTS)
        arrival: float = request.state.arrival
        body = await anyio.to_thread.run_sync(self._predict, data, arrival, limiter=self._limiter)
        return Response(body, media_type="application/json")

    async def webhook(self, request: Request) -> Response:
        """Events of Label Studio; none is acted on yet, and all are welcome."""
        await self._read(request)
        return _json({"status": "ignored"}, 201)

    async def versions(self) -> Response:
        """The model versions that this backend can give."""
        return _json({"versions": list(self._slot.current.planner.versions)})

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
            plan = predictor.plan(body.schema or "")
        except LabelConfigError as error:
            log.warning("setup of project %s: %s", body.project, error)
            return {**answer, "notes": [str(error)]}
        return {**answer, "model_version": plan.model_version, "notes": list(plan.notes)}

    def _predict(self, data: bytes, arrival: float) -> bytes:
        predictor = self._slot.current
        request = parse_predict(data)
        deadline = arrival + self._settings.predict_budget_s
        tasks = [{"id": task.id, "data": task.data} for task in request.tasks]
        config = request.label_config
        if request.is_interactive:
            outcomes = predictor.answer_prompts(tasks, config, request.context, deadline)
        else:
            outcomes = predictor.predict_tasks(tasks, config, deadline)
        self._metrics.outcomes(outcomes)
        _log_not_reached(outcomes)
        plan = predictor.plan(config)
        results = [o.prediction.to_json() if o.prediction else {} for o in outcomes]
        return orjson.dumps({"results": results, "model_version": plan.model_version})

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

    def _authenticate(self, request: Request) -> None:
        settings = self._settings
        if settings.basic_auth_pass is None or request.url.path in _OPEN_PATHS:
            return
        if request.url.path == "/webhook" and settings.webhook_secret is not None:
            given = request.headers.get("X-Labelvino-Secret") or request.query_params.get("secret")
            if given and _same(given, settings.webhook_secret.get_secret_value()):
                return
        user, password = _basic_auth(request.headers.get("Authorization", ""))
        right = _same(user, settings.basic_auth_user or "")
        right &= _same(password, settings.basic_auth_pass.get_secret_value())
        if not right:
            raise RequestError(
                401, "user name and password are needed: http://USER:PASSWORD@host:port."
            )


def _basic_auth(header: str) -> tuple[str, str]:
    kind, _, encoded = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError:  # no base64, or no UTF-8
        return "", ""
    return user, password


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(), wanted.encode())


def _json(content: object, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _refusal(path: str, status: int, sentence: str) -> Response:
    """Label Studio does not show what a backend answers, so the log says it too."""
    log.warning("%s refused: %s", path, sentence)
    return _json({"error": sentence}, status)


async def _http_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return _json({"error": f"{error.detail}."}, error.status_code)


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
