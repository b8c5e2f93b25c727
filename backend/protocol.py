"""What Label Studio posts to an ML backend, as far as it is used.

A /predict carries all annotations and predictions of its tasks, up to 1 MB per 100 masks. What is
not used is skipped while it is read, not built (msgspec).
"""

from __future__ import annotations

import json
from typing import Any

import msgspec


class RequestError(Exception):
    """A request that is answered with `status` and one sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class Task(msgspec.Struct, frozen=True):
    """A task. Neither value is checked here: a bad task must not cost the others."""

    id: Any = None
    data: Any = None


class Params(msgspec.Struct, frozen=True):
    """Of `params` (login, password, context) only what smart tools send: `context`."""

    context: Any = None


class PredictRequest(msgspec.Struct, frozen=True):
    """The body of /predict."""

    tasks: list[Task]
    label_config: str
    project: Any = None
    params: Params | None = None

    @property
    def context(self) -> Any:
        """What smart tools send; None where nothing came."""
        return self.params.context if self.params else None

    @property
    def is_interactive(self) -> bool:
        """Whether the answer is shown as suggestions to somebody who is annotating."""
        return isinstance(self.context, dict) and bool(self.context)


class SetupRequest(msgspec.Struct, frozen=True):
    """The body of /setup; `schema` is the label config."""

    schema: str | None = None
    project: Any = None


def parse_predict(data: bytes) -> PredictRequest:
    """Raises RequestError (422) for a body that is no such request."""
    try:
        return msgspec.json.decode(data, type=PredictRequest)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        # Something is odd; it may be one task only, or one that Python's own JSON lets pass.
        body = _object(data)
    tasks, label_config = body.get("tasks"), body.get("label_config")
    if not isinstance(tasks, list):
        raise RequestError(422, "the request has no list 'tasks'.")
    if not isinstance(label_config, str):
        raise RequestError(422, "the request has no text 'label_config'.")
    read = [
        Task(task.get("id"), task.get("data")) if isinstance(task, dict) else Task()
        for task in tasks
    ]
    params = body.get("params")
    context = params.get("context") if isinstance(params, dict) else None
    return PredictRequest(read, label_config, body.get("project"), Params(context))


class WebhookEvent(msgspec.Struct, frozen=True):
    """Of an event of Label Studio: what happened, and in which project."""

    action: Any = None
    project: Any = None

    @property
    def project_id(self) -> Any:
        """The project's number; None where the event has none."""
        return self.project.get("id") if isinstance(self.project, dict) else self.project


def parse_event(data: bytes) -> WebhookEvent:
    """Anything else than an event is an empty one: Label Studio does not care for the answer."""
    try:
        return msgspec.json.decode(data, type=WebhookEvent)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return WebhookEvent()


def parse_setup(data: bytes) -> SetupRequest:
    """Raises RequestError (422) for a body that is no such request."""
    body = _object(data)
    schema = body.get("schema")
    if not isinstance(schema, str | None):
        raise RequestError(422, "'schema' is not a text.")
    return SetupRequest(schema, body.get("project"))


def request_schema(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """The OpenAPI entry of a request body; bodies are parsed by hand, off the event loop."""
    schema = msgspec.json.schema(kind, ref_template="#/components/schemas/{name}")
    definitions = schema.pop("$defs")
    schema = definitions[kind.__name__]
    for name, definition in definitions.items():
        schema = _inline(schema, f"#/components/schemas/{name}", definition)
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _object(data: bytes) -> dict[str, Any]:
    try:
        body = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RequestError(422, f"the request is not JSON: {error}.") from error
    if not isinstance(body, dict):
        raise RequestError(422, "the request is not a JSON object.")
    return body


def _inline(schema: Any, reference: str, definition: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if schema.get("$ref") == reference:
            return definition
        return {key: _inline(value, reference, definition) for key, value in schema.items()}
    if isinstance(schema, list):
        return [_inline(value, reference, definition) for value in schema]
    return schema
