"""Addresses of backends, and the words for what Label Studio refuses.

That connecting works is tested with the real Label Studio (tests/e2e/test_e2e_connect.py).
"""

from __future__ import annotations

import pytest

from backend.labelstudio.connection import Wishes, backend_url
from backend.labelstudio.json_calls import RefusedError
from backend.labelstudio.refusals import backend_refused, webhook_refused
from backend.runtime.errors import LabelStudioError, SettingsError

URL = "http://host:9090"


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://host:9090", "http://host:9090"),
        (" http://HOST:9090/ ", "http://host:9090"),
        ("https://host/labelvino/", "https://host/labelvino"),
        ("http://[::1]:9090", "http://[::1]:9090"),
    ],
)
def test_backend_url(text: str, url: str) -> None:
    assert backend_url(text) == url


@pytest.mark.parametrize(
    "text",
    ["", "host:9090", "ftp://host", "http://", "http://host:x", "http://host:99999",
     "http://host/?a=geheim", "http://host/#a"],
)  # fmt: skip
def test_what_is_no_backend_url(text: str) -> None:
    with pytest.raises(SettingsError, match="write http://host:9090") as caught:
        backend_url(text)
    assert "geheim" not in str(caught.value)


def test_a_password_does_not_belong_in_the_address() -> None:
    with pytest.raises(SettingsError, match="BASIC_AUTH_USER") as caught:
        backend_url("http://user:geheim@host")
    assert "geheim" not in str(caught.value)


def test_secrets_do_not_print() -> None:
    assert "geheim" not in repr(Wishes(URL, basic_auth=("u", "geheim"), secret="geheim"))


def refusal(words: str, status: int = 400) -> RefusedError:
    return RefusedError("Label Studio refuses this.", status, words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "refuses this"),
        ("URL resolves to a reserved network address (block: 127.0.0.0/8)",
         "private address http://host:9090.*USE_DEFAULT_BANNED_SUBNETS=false"),
        ("The provided URL was not allowed", "USE_DEFAULT_BANNED_SUBNETS=false"),
        ("Can't resolve hostname host", "does not know the host"),
        ("Can't connect to ML backend http://host, health check failed", "cannot reach.*--host"),
        ("it doesn't look like a valid ML backend. Reason: 401 Client Error", "BASIC_AUTH_PASS"),
        ("Able to connect to ML Server, but authentication parameters", "BASIC_AUTH_PASS"),
        ("it doesn't look like a valid ML backend. Reason: 404", "no ML backend"),
    ],
)  # fmt: skip
def test_refused_backends(words: str, says: str) -> None:
    with pytest.raises(LabelStudioError, match=says):
        raise backend_refused(refusal(words), URL)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("", "is connected, but.*refuses this"),
        ("URL resolves to a reserved network address (block: 127.0.0.0/8)",
         "ML_BLOCK_LOCAL_IP=false alone is not enough.*USE_DEFAULT_BANNED_SUBNETS=false"),
        ("Enter a valid URL", "no dot"),
    ],
)  # fmt: skip
def test_refused_webhooks(words: str, says: str) -> None:
    with pytest.raises(LabelStudioError, match=says):
        raise webhook_refused(refusal(words), URL)
