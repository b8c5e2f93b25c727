"""What a line of the log looks like, and what it never shows."""

from __future__ import annotations

import json
import logging
import sys

import pytest

from backend.fair_pool import FairPool
from backend.logs import _JsonFormatter, _TextFormatter, choose_request_id, request_id

HIDDEN = ("my-secret-value",)


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    made = logging.LogRecord("labelvino", logging.WARNING, "f.py", 1, message, args, None)
    if error is not None:
        try:
            raise error
        except type(error):
            made.exc_info = sys.exc_info()
    made.created = 0.25
    return made


def as_json(*args: object, **kwargs: BaseException) -> dict[str, object]:
    line = _JsonFormatter(HIDDEN).format(record(*args, **kwargs))  # type: ignore[arg-type]
    assert "\n" not in line
    parsed: dict[str, object] = json.loads(line)
    return parsed


def test_an_empty_message() -> None:
    assert as_json("") == {
        "time": "1970-01-01T00:00:00.250Z",
        "level": "WARNING",
        "logger": "labelvino",
        "message": "",
        "request_id": None,
    }
    assert _TextFormatter(HIDDEN).format(record("")).endswith(" WARNING ")


def test_exceptions() -> None:
    line = as_json("task %d", 7, error=ValueError("two\nlines"))
    assert line["message"] == "task 7"
    assert "ValueError: two\nlines" in str(line["exception"])
    text = _TextFormatter(HIDDEN).format(record("task %d", 7, error=ValueError("why")))
    assert "WARNING task 7\nTraceback" in text and text.endswith("ValueError: why")


def test_the_request_id_is_in_the_line_and_in_those_of_the_pool() -> None:
    pool = FairPool(2)
    token = request_id.set("r-1")
    try:
        here = as_json("x")["request_id"]
        there = pool.run([lambda: as_json("x")["request_id"]] * 5)
        text = _TextFormatter(HIDDEN).format(record("x"))
    finally:
        request_id.reset(token)
        outside = pool.run([lambda: as_json("x")["request_id"]])
        pool.close()
    assert here == "r-1" and there == ["r-1"] * 5
    assert text.endswith(" WARNING [r-1] x")
    assert outside == [None]


def test_a_message_cannot_write_lines_of_its_own() -> None:
    text = _TextFormatter(HIDDEN).format(record("label '%s'", "a\n2026 INFO forged\r"))
    assert text.endswith("label 'a\\n2026 INFO forged\\r'")


def test_text_that_is_no_unicode_is_still_logged() -> None:
    assert as_json("file \udcff")["message"] == "file \\udcff"


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("it is my-secret-value.", "it is ***."),
        ("GET https://s3.x/a?X-Amz-Signature=ab failed", "GET https://s3.x/a?*** failed"),
        ("http://ls/data/local-files/?d=a/b.jpg.", "http://ls/data/local-files/?d=a/b.jpg."),
        ("http://ls/data/local-files/?d=a.jpg&x=1", "http://ls/data/local-files/?d=a.jpg***"),
        ("see http://user:pw@host:1/x", "see http://***@host:1/x"),
        ("redis://:pw@host/0", "redis://***@host/0"),
        ("url='data:image/png;base64,iVBORw0KGgo='", "url='data:image/png,***'"),
        ("data:,hello world", "data:,*** world"),
        ("Authorization: Bearer abcdefgh1234", "Authorization: Bearer ***"),
        ("Token 0123456789abcdef", "Token ***"),
        ("jwt eyJhbGciOiJIUzI1NiJ9.eyJ1Ijox.c2ln", "jwt ***"),
        ("model data: 5 labels, token kind PAT", "model data: 5 labels, token kind PAT"),
        ("http://host:9090/health", "http://host:9090/health"),
    ],
)  # fmt: skip
def test_secrets_and_images_are_masked(message: str, shown: str) -> None:
    assert as_json("%s", message)["message"] == shown
    assert _TextFormatter(HIDDEN).format(record("%s", message)).endswith(f"WARNING {shown}")
    assert message not in str(as_json("x", error=ValueError(message))) or message == shown


@pytest.mark.parametrize("good", ["a", "6f1a.B_c-9", "x" * 64])
def test_a_harmless_id_is_taken(good: str) -> None:
    assert choose_request_id(good) == good


@pytest.mark.parametrize("bad", [None, "", "x" * 65, "a b", "a\nb", "ü", '"', "eyJ/+=", "a;b"])
def test_any_other_id_is_made_anew(bad: str | None) -> None:
    made = choose_request_id(bad)
    assert made != bad and len(made) == 16
    assert made != choose_request_id(bad)
