"""JSON calls to Label Studio, and what its errors mean."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

from backend.labelstudio.client import Files, LabelStudioClient
from backend.labelstudio.deadline import finish_by
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import FetchError, LabelStudioError

Row = dict[str, Any]
"""One object as Label Studio writes it."""
Fields = Mapping[str, Any]
Body = Fields | Sequence[Fields] | Files
Query = Mapping[str, str | int]

_MAX_ANSWER_BYTES = 64 * 1024 * 1024
_MAX_WORDS = 300


class RefusedError(LabelStudioError):
    """Label Studio answered with an error.

    `status` of HTTP; `words`: what it says, on one line, maybe empty; `retry_after_s`: when it
    wants to be asked again, where it says so.
    """

    def __init__(
        self, sentence: str, status: int, words: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.words = words
        self.retry_after_s = retry_after_s


class UnreachableError(LabelStudioError):
    """No complete answer came; what was asked for may have been done."""


class JsonCalls:
    """Calls that each end within `timeout_s`. Every method raises LabelStudioError."""

    def __init__(self, client: LabelStudioClient, timeout_s: float = 60.0) -> None:
        self.client = client
        self.timeout_s = timeout_s

    def rows(self, path: str, query: Query | None = None) -> list[Row]:
        """A GET that is answered with a list of objects."""
        rows = self.call("GET", path, query=query)
        if not isinstance(rows, list):
            raise self.no_label_studio()
        return rows

    def object(
        self, method: str, path: str, body: Body | None = None, query: Query | None = None
    ) -> Row:
        """A call that is answered with one object."""
        answer = self.call(method, path, body, query)
        if not isinstance(answer, dict):
            raise self.no_label_studio()
        return answer

    def call(
        self, method: str, path: str, body: Body | None = None, query: Query | None = None
    ) -> Any:
        """One call; the answer's JSON, or None where the answer has no body."""
        url = self.client.api_url(path, **(query or {}))
        data = bytearray()
        with finish_by(time.monotonic() + self.timeout_s):
            try:
                with self.client.request(method, url, body) as response:
                    status, headers = response.status_code, response.headers
                    for chunk in response.iter_raw():
                        data += chunk
                        if len(data) > _MAX_ANSWER_BYTES:
                            raise self.no_label_studio()
            except FetchError as error:
                raise self.unreachable(error) from error
        if 300 <= status < 400:
            raise self._redirected(headers.get("Location", ""))
        try:
            answer = json.loads(data) if data else None
        except ValueError:
            answer = None
            if status < 400:
                raise self.no_label_studio() from None
        if status >= 400:
            raise self._refused(status, _words(answer), headers.get("Retry-After", ""))
        return answer

    def _refused(self, status: int, words: str, retry_after: str) -> RefusedError:
        said = f"HTTP {status}{f', {words}' if words else ''}"
        if status in (401, 403, 404) and not words:  # a proxy, or another server
            sentence = str(self.no_label_studio())
        elif status == 401 and not self.client.has_token:
            sentence = (
                "Label Studio wants a token: set LABEL_STUDIO_API_KEY to one of Account & Settings."
            )
        elif status == 401:
            sentence = (
                f"Label Studio does not accept the {self.client.token_kind} ({said}): make a new "
                "one under Account & Settings and set LABEL_STUDIO_API_KEY; legacy tokens must be "
                "allowed by the organization."
            )
        elif status == 403:
            sentence = (
                f"Label Studio refuses this to the token's user ({said}): use the token of a user "
                "who may change the project."
            )
        elif status >= 500:
            sentence = f"Label Studio failed ({said}): its log has the reason."
        else:
            sentence = f"Label Studio refuses this ({said}): correct what it names."
        later_s = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
        return RefusedError(sentence, status, words, later_s)

    def unreachable(self, error: FetchError) -> UnreachableError:
        if "no complete answer in time" in str(error):
            return UnreachableError(
                f"Label Studio at {self.client.shown_address} did not answer in time: check that "
                "it is up, and that this machine reaches it."
            )
        return UnreachableError(f"Label Studio at {self.client.shown_address}: {error}")

    def _redirected(self, where: str) -> LabelStudioError:
        return LabelStudioError(
            f"{self.client.shown_address} leads on to {shown_url(where) or 'somewhere else'}: set "
            "LABEL_STUDIO_URL to Label Studio's own address, with https where it has it."
        )

    def no_label_studio(self) -> LabelStudioError:
        return LabelStudioError(
            f"{self.client.shown_address} does not answer as Label Studio does: check "
            "LABEL_STUDIO_URL, with the path prefix where it has one."
        )


def _words(answer: object) -> str:
    """What Label Studio says in an error's body, without markup, on one line, shortened."""
    if not isinstance(answer, dict):
        return ""
    words = list(_texts(answer.get("validation_errors"))) or list(_texts(answer.get("detail")))
    text = re.sub(r"<[^>]*>", "", " ".join(" ".join(words).split()))
    return text[:_MAX_WORDS].rstrip(" .")


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for part in value.values() for text in _texts(part)]
    return [text for part in value for text in _texts(part)] if isinstance(value, list) else []
