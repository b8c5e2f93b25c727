"""The log: text or JSON, the request's id in every line, and never a secret or an image."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Iterable
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import orjson
from pydantic import SecretStr

if TYPE_CHECKING:
    from backend.settings import Settings

# The id of the request that the running code works for; threads of the pool inherit it.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

_HARMLESS_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SHORTEST_SECRET = 6  # masking a shorter one would spoil ordinary words
# Messages are written without secrets; these patterns are for what errors of libraries bring along.
_PATTERNS = (
    (re.compile(r"\b(data:[\w/+.-]*)[;,][^\s\"'<>]*", re.IGNORECASE), r"\1,***"),
    (re.compile(r"([a-z][a-z0-9+.-]*://)[^\s/?#@\"'<>]+@", re.IGNORECASE), r"\1***@"),
    # What follows "?", but for the file name in Label Studio's addresses of local files.
    (
        re.compile(
            r"([a-z][a-z0-9+.-]*://[^\s?#\"'<>]*[?#](?:d=[^\s&#\"'<>]*+)?+)[^\s\"'<>]+",
            re.IGNORECASE,
        ),
        r"\1***",
    ),
    (re.compile(r"\b(Bearer|Token|Basic)(\s+)[\w.~+/=-]{8,}", re.IGNORECASE), r"\1\2***"),
    (re.compile(r"\beyJ[\w-]{8,}(\.[\w-]+){0,2}"), "***"),  # a JSON web token
)


def configure_logs(
    level: str, log_format: Literal["text", "json"], hidden: Iterable[str] = ()
) -> None:
    """Let everything that this process logs go to stderr in one format.

    `hidden`: secrets that no line may show.
    """
    handler = logging.StreamHandler()
    kind = _JsonFormatter if log_format == "json" else _TextFormatter
    handler.setFormatter(kind(tuple(text for text in hidden if len(text) >= _SHORTEST_SECRET)))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(True)
    for name in ("httpx2", "httpcore2"):  # they log whole addresses
        logging.getLogger(name).setLevel(logging.WARNING)


def start_logs(settings: Settings) -> None:
    """The log of a process that serves or works, as its settings say."""
    secrets_given = [v.get_secret_value() for _, v in settings if isinstance(v, SecretStr)]
    hidden = [_secret_part(text) for text in secrets_given]
    configure_logs(settings.log_level, settings.log_format, hidden)
    for note in settings.notes:
        logging.getLogger("labelvino").warning("%s", note)


def _secret_part(text: str) -> str:
    """The password of an address, else all of it."""
    if "://" not in text:
        return text
    try:
        return urlsplit(text).password or ""
    except ValueError:
        return text


def choose_request_id(given: str | None) -> str:
    """The caller's id where it is short and harmless, else a new one."""
    if given is not None and _HARMLESS_ID.fullmatch(given):
        return given
    return secrets.token_hex(8)


class _Formatter(logging.Formatter):
    def __init__(self, hidden: tuple[str, ...]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._hidden = hidden

    def _clean(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "***")
        for pattern, shown in _PATTERNS:
            text = pattern.sub(shown, text)
        return text.encode("utf-8", "backslashreplace").decode()

    def _exception(self, record: logging.LogRecord) -> str | None:
        return self.formatException(record.exc_info) if record.exc_info else record.exc_text


class _TextFormatter(_Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        # One line a message, so that no one can write lines of their own into the log.
        record.message = record.message.replace("\r", "\\r").replace("\n", "\\n")
        identity = request_id.get()
        if identity is not None:
            record.message = f"[{identity}] {record.message}"
        return super().formatMessage(record)

    def format(self, record: logging.LogRecord) -> str:
        return self._clean(super().format(record))


class _JsonFormatter(_Formatter):
    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._clean(record.getMessage()),
            "request_id": request_id.get(),
        }
        if (exception := self._exception(record)) is not None:
            line["exception"] = self._clean(exception)
        return orjson.dumps(line).decode()
