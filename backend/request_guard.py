"""What every request goes through: a name, the password, the clock, the log, one-sentence errors.

Plain ASGI: Starlette's own kind of middleware runs each request in a second task and hands the
body through a queue, which took as long as all of FastAPI.
"""

from __future__ import annotations

import base64
import hmac
import logging
import time

import orjson
from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.logs import choose_request_id, request_id
from backend.metrics import Metrics
from backend.protocol import RequestError
from backend.runtime.errors import LabelvinoError
from backend.settings import Settings

log = logging.getLogger("labelvino")

OPEN_PATHS = frozenset({"/", "/health"})
PATHS = frozenset(
    {"/", "/health", "/setup", "/predict", "/webhook", "/versions", "/metrics", "/training"}
)


class RequestGuard:
    """Names, authenticates, times and logs each request; turns errors into one sentence."""

    def __init__(self, app: ASGIApp, settings: Settings, metrics: Metrics) -> None:
        self._app = app
        self._settings = settings
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identity = choose_request_id(Headers(scope=scope).get("X-Request-ID"))
        token = request_id.set(identity)
        try:
            await self._answer(scope, receive, send, identity)
        finally:
            request_id.reset(token)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, identity: str) -> None:
        arrival = time.monotonic()
        scope.setdefault("state", {})["arrival"] = arrival
        path = scope["path"] if scope["path"] in PATHS else "other"

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._note(scope["method"], path, message["status"], time.monotonic() - arrival)
                MutableHeaders(scope=message)["X-Request-ID"] = identity
            await send(message)

        try:
            self._authenticate(scope)
            await self._app(scope, receive, named)
        except Exception as error:  # noqa: BLE001 - each becomes an answer
            await _answer_to(error, path, scope["method"])(scope, receive, named)

    def _note(self, method: str, path: str, status: int, seconds: float) -> None:
        self._metrics.request(path, status, seconds)
        level = logging.DEBUG if path in OPEN_PATHS else logging.INFO
        if status >= 400:
            level = logging.WARNING
        log.log(level, "%s %s %d %.0f ms", method, path, status, seconds * 1000)

    def _authenticate(self, scope: Scope) -> None:
        settings, headers, path = self._settings, Headers(scope=scope), scope["path"]
        if settings.basic_auth_pass is None or path in OPEN_PATHS:
            return
        if path == "/webhook" and settings.webhook_secret is not None:
            query = QueryParams(scope["query_string"])
            given = headers.get("X-Labelvino-Secret") or query.get("secret")
            if given and _same(given, settings.webhook_secret.get_secret_value()):
                return
        user, password = _basic_auth(headers.get("Authorization", ""))
        right = _same(user, settings.basic_auth_user or "")
        right &= _same(password, settings.basic_auth_pass.get_secret_value())
        if not right:
            raise RequestError(
                401, "user name and password are needed: http://USER:PASSWORD@host:port."
            )


def _answer_to(error: Exception, path: str, method: str) -> Response:
    if isinstance(error, RequestError):
        response = _refusal(path, error.status, str(error))
        if error.status == 401:
            response.headers["WWW-Authenticate"] = 'Basic realm="labelvino"'
        return response
    if isinstance(error, LabelvinoError):
        return _refusal(path, 400, str(error))
    if isinstance(error, ClientDisconnect):
        return Response(status_code=499)  # nobody reads it; the log shows it
    log.error("%s %s failed", method, path, exc_info=error)
    return json_response({"error": "internal error; the backend's log has the details."}, 500)


def json_response(content: object, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(content), status, media_type="application/json")


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


def _refusal(path: str, status: int, sentence: str) -> Response:
    """Label Studio does not show what a backend answers, so the log says it too."""
    log.warning("%s refused: %s", path, sentence)
    return json_response({"error": sentence}, status)
