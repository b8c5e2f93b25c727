"""Tokens, addresses and the one place the token may go to."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
import pytest
from local_ca import make_ca
from local_server import IMAGE, Answer, LocalServer, local_server, send

from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.deadline import finish_by
from backend.labelstudio.tokens import LegacyToken, PersonalAccessToken, read_token
from backend.runtime.errors import FetchError, SettingsError

LEGACY = "0123456789abcdef0123456789abcdef01234567"


def jwt(**claims: Any) -> str:
    parts = [json.dumps({"alg": "HS256", "typ": "JWT"}), json.dumps(claims), "signature"]
    return ".".join(base64.urlsafe_b64encode(p.encode()).decode().rstrip("=") for p in parts)


PAT = jwt(token_type="refresh", jti="geheim")


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


def refreshing(life_s: int = 300) -> Answer:
    """Gives access-1, access-2, ... as JWTs."""
    numbers = count(1)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        access = jwt(token_type="access", number=next(numbers), iat=1000, exp=1000 + life_s)
        send(200, json.dumps({"access": access}).encode(), "application/json")(handler)

    return answer


def get(client: LabelStudioClient, path: str = "/a.jpg") -> tuple[int, bytes]:
    with client.get(client.url_for(path)) as response:
        return response.status_code, b"".join(response.iter_raw())


def number_of(authorization: str | None) -> int:
    assert authorization is not None
    assert authorization.startswith("Bearer ")
    part = authorization.split(".")[1]
    return int(json.loads(base64.urlsafe_b64decode(part + "=="))["number"])


@pytest.mark.parametrize("text", ["", " ", "Token abc", "a\nb", "ä" * 40])
def test_token_that_is_none(text: str) -> None:
    with pytest.raises(SettingsError, match="LABEL_STUDIO_API_KEY"):
        read_token(text, str)


def test_token_kinds() -> None:
    assert isinstance(read_token(f" {LEGACY}\n", str), LegacyToken)
    assert isinstance(read_token("word.with.dots", str), LegacyToken)
    assert isinstance(read_token(PAT, str), PersonalAccessToken)
    with pytest.raises(SettingsError, match="cut off"):
        read_token(PAT.rpartition(".")[0], str)
    with pytest.raises(SettingsError, match="access token"):
        read_token(jwt(token_type="access"), str)


def test_secrets_are_not_in_repr(server: LocalServer) -> None:
    for token in (PAT, LEGACY):
        with LabelStudioClient(server.url, token) as client:
            assert token not in repr(client)
            assert server.url in repr(client)


def test_no_token(server: LocalServer) -> None:
    server.routes["/a.jpg"] = send()
    with LabelStudioClient(server.url) as client:
        assert get(client) == (200, IMAGE)
    assert server.tokens("/a.jpg") == [None]


def test_legacy_token_goes_as_it_is_and_once(server: LocalServer) -> None:
    server.routes["/a.jpg"] = send(401)
    with LabelStudioClient(server.url, LEGACY) as client:
        assert get(client)[0] == 401
    assert server.tokens("/") == [f"Token {LEGACY}"]


def test_personal_access_token_is_exchanged_once(server: LocalServer) -> None:
    server.routes.update({"/api/token/refresh/": refreshing(), "/a.jpg": send()})
    with LabelStudioClient(server.url, PAT) as client:
        assert [get(client)[0] for _ in range(3)] == [200, 200, 200]
    refreshes = [s for s in server.seen if s.method == "POST"]
    assert [json.loads(s.body) for s in refreshes] == [{"refresh": PAT}]
    assert refreshes[0].headers.get("authorization") is None
    assert [number_of(t) for t in server.tokens("/a.jpg")] == [1, 1, 1]


def test_access_token_is_renewed_before_it_dies() -> None:
    now_s = [1000.0]
    numbers = count(1)
    token = PersonalAccessToken(PAT, lambda _: f"access-{next(numbers)}", lambda: now_s[0])
    assert token.authorization() == "Bearer access-1"
    now_s[0] += 230
    assert token.authorization() == "Bearer access-1"
    now_s[0] += 15
    assert token.authorization() == "Bearer access-2"


def test_access_token_says_its_own_life() -> None:
    now_s = [0.0]
    numbers = count(1)
    token = PersonalAccessToken(
        PAT, lambda _: jwt(number=next(numbers), iat=5000, exp=5010), lambda: now_s[0]
    )
    assert number_of(token.authorization()) == 1
    now_s[0] += 8.1
    assert number_of(token.authorization()) == 2


def test_401_renews_once(server: LocalServer) -> None:
    def only_second(handler: BaseHTTPRequestHandler) -> None:
        fresh = number_of(handler.headers["Authorization"]) == 2
        send(200 if fresh else 401)(handler)

    server.routes.update({"/api/token/refresh/": refreshing(), "/a.jpg": only_second})
    with LabelStudioClient(server.url, PAT) as client:
        assert get(client) == (200, IMAGE)
    assert [number_of(t) for t in server.tokens("/a.jpg")] == [1, 2]


def test_401_for_ever_ends(server: LocalServer) -> None:
    server.routes.update({"/api/token/refresh/": refreshing(), "/a.jpg": send(401)})
    with LabelStudioClient(server.url, PAT) as client:
        assert get(client)[0] == 401
    assert [number_of(t) for t in server.tokens("/a.jpg")] == [1, 2]


def test_many_threads_refresh_once_and_renew_once(server: LocalServer) -> None:
    refresh = refreshing()

    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.05)
        refresh(handler)

    def only_second(handler: BaseHTTPRequestHandler) -> None:
        fresh = number_of(handler.headers["Authorization"]) == 2
        send(200 if fresh else 401)(handler)

    server.routes.update({"/api/token/refresh/": slow, "/a.jpg": only_second})
    with (
        LabelStudioClient(server.url, PAT) as client,
        ThreadPoolExecutor(12) as pool,
    ):
        assert set(pool.map(lambda _: get(client), range(36))) == {(200, IMAGE)}
    assert len([s for s in server.seen if s.method == "POST"]) == 2


def test_waiting_for_another_threads_refresh_ends_with_the_deadline(server: LocalServer) -> None:
    hold = threading.Event()
    entered = threading.Event()
    refresh = refreshing()

    def held(handler: BaseHTTPRequestHandler) -> None:
        entered.set()
        hold.wait(5)
        refresh(handler)

    server.routes.update({"/api/token/refresh/": held, "/a.jpg": send()})
    with LabelStudioClient(server.url, PAT) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(get, client)
        assert entered.wait(5)
        with finish_by(time.monotonic() + 0.1), pytest.raises(FetchError, match="in time"):
            get(client)
        hold.set()
        assert first.result(5) == (200, IMAGE)


@pytest.mark.parametrize("status", [400, 401, 403])
def test_refused_personal_access_token(server: LocalServer, status: int) -> None:
    server.routes["/api/token/refresh/"] = send(status, b'{"detail": "no"}', "application/json")
    with (
        LabelStudioClient(server.url, PAT) as client,
        pytest.raises(FetchError, match=r"does not accept.*LABEL_STUDIO_API_KEY") as caught,
    ):
        get(client)
    assert PAT not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        send(200, b"<html>", "text/html"),
        send(200, b'["access"]'),
        send(200, b'{"access": ""}'),
        send(200, b'{"access": "a\\r\\nX-Evil: 1"}'),
        send(200, b" " * 100_000),
        send(302, b"", Location="/"),
        send(500, b""),
    ],
)
def test_refresh_answer_that_is_none(server: LocalServer, answer: Answer) -> None:
    server.routes["/api/token/refresh/"] = answer
    with (
        LabelStudioClient(server.url, PAT) as client,
        pytest.raises(FetchError, match="LABEL_STUDIO_URL"),
    ):
        get(client)


def test_path_prefix(server: LocalServer) -> None:
    server.routes.update({"/ls/api/token/refresh/": refreshing(), "/ls/data/a.jpg": send()})
    with LabelStudioClient(f"{server.url}/ls/", PAT) as client:
        assert get(client, "/data/a.jpg") == (200, IMAGE)
        assert get(client, "/ls/data/a.jpg") == (200, IMAGE)
        assert get(client, "data/a.jpg") == (200, IMAGE)
        assert client.presign_url("s3://b/ü.jpg", 7).path == "/ls/tasks/7/presign/"


@pytest.mark.parametrize(
    ("base", "url", "owned"),
    [
        ("http://ls.test", "http://ls.test/a", True),
        ("http://ls.test", "http://LS.test:80/a", True),
        ("http://ls.test", "https://ls.test/a", False),
        ("http://ls.test", "http://ls.test:81/a", False),
        ("http://ls.test", "http://ls.test.evil/a", False),
        ("http://ls.test", "http://ls.test@evil/a", False),
        ("http://ls.test/ls", "http://ls.test/ls/a", True),
        ("http://ls.test/ls", "http://ls.test/lsx/a", False),
        ("http://ls.test/ls", "http://ls.test/ls/../a", False),
        ("http://ls.test/ls", "http://ls.test/ls/%2e%2e/a", False),
        ("http://ls.test/ls", "http://ls.test/ls/%252e%252e/a", False),
    ],
)
def test_owns(base: str, url: str, owned: bool) -> None:
    with LabelStudioClient(base, LEGACY) as client:
        assert client.owns(httpx2.URL(url)) is owned
        if not owned:
            with pytest.raises(ValueError, match="not an address of"), client.get(httpx2.URL(url)):
                pass


@pytest.mark.parametrize(
    ("address", "target"),
    [
        ("/data/upload/1/my_photo_%C3%A4.jpg", b"/data/upload/1/my_photo_%C3%A4.jpg"),
        ("/data/upload/1/my photo ä.jpg", b"/data/upload/1/my%20photo%20%C3%A4.jpg"),
        ("/data/local-files/?d=a%20b/ä.jpg", b"/data/local-files/?d=a%20b/%C3%A4.jpg"),
        ("data/upload/1/a.jpg?v=1&w=2", b"/data/upload/1/a.jpg?v=1&w=2"),
        ("/100%.jpg", b"/100%.jpg"),  # as browsers send it
        ("@evil.test/a", b"/@evil.test/a"),
        ("/\\evil.test/a", b"/\\evil.test/a"),
    ],
)
def test_relative_addresses(address: str, target: bytes) -> None:
    with LabelStudioClient("http://ls.test", LEGACY) as client:
        url = client.url_for(address)
    assert (url.host, url.raw_path) == ("ls.test", target)


def test_presign_url_is_what_label_studio_decodes() -> None:
    uri = "s3://bkt/dir a/im ü?>.jpg"
    with LabelStudioClient("http://ls.test", LEGACY) as client:
        url = client.presign_url(uri, 12)
    assert url.path == "/tasks/12/presign/"
    assert base64.urlsafe_b64decode(url.params["fileuri"].encode()).decode() == uri


@pytest.mark.parametrize(
    "base",
    ["", "ls.test", "ftp://ls.test", "http://", "http://u:geheim@ls.test", "http://ls.test:x"],
)
def test_base_url_that_cannot_be_used(base: str) -> None:
    with pytest.raises(SettingsError, match="LABEL_STUDIO_URL") as caught:
        LabelStudioClient(base, LEGACY)
    assert "geheim" not in str(caught.value)


def test_ca_bundle(tmp_path: Path) -> None:
    ca, tls = make_ca(tmp_path)
    with local_server(tls) as server:
        server.routes["/a.jpg"] = send()
        with LabelStudioClient(server.url, LEGACY, ca_bundle=ca) as client:
            assert get(client) == (200, IMAGE)
        by_name = f"https://ls.test:{server.port}"
        with LabelStudioClient(
            by_name, LEGACY, ca_bundle=ca, resolver=lambda host, port: ["127.0.0.1"]
        ) as client:
            assert get(client) == (200, IMAGE)
        assert server.seen[-1].headers["host"] == f"ls.test:{server.port}"
        with (
            LabelStudioClient(server.url, LEGACY) as client,
            pytest.raises(FetchError, match="LABELVINO_CA_BUNDLE"),
        ):
            get(client)
        with (
            LabelStudioClient(
                by_name.replace("ls.test", "other.test"),
                LEGACY,
                ca_bundle=ca,
                resolver=lambda host, port: ["127.0.0.1"],
            ) as client,
            pytest.raises(FetchError, match="LABELVINO_CA_BUNDLE"),
        ):
            get(client)
    assert len(server.seen) == 2  # the token went to no server that is not trusted


def test_https_to_a_plain_server(server: LocalServer) -> None:
    with (
        LabelStudioClient(server.url.replace("http:", "https:"), LEGACY) as client,
        pytest.raises(FetchError, match="TLS failed"),
    ):
        get(client)


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_ca_bundle_that_cannot_be_read(tmp_path: Path, content: str | None) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    with pytest.raises(SettingsError, match="LABELVINO_CA_BUNDLE"):
        LabelStudioClient("https://ls.test", LEGACY, ca_bundle=bundle)


def test_secrets_are_not_in_logs(server: LocalServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.routes.update(
        {
            "/api/token/refresh/": refreshing(),
            "/a.jpg": send(303, b"", Location="https://s3.test/k?X-Amz-Signature=geheim"),
        }
    )
    with LabelStudioClient(server.url, PAT) as client:
        assert get(client)[0] == 303
    assert "geheim" not in caplog.text
    assert PAT not in caplog.text
    assert "Bearer" not in caplog.text
