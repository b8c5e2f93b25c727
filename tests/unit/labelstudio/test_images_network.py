"""Images of other hosts: private addresses, redirects, rebinding, limits and time."""

from __future__ import annotations

import gzip
import logging
import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from local_ca import make_ca
from local_server import IMAGE, LEGACY_TOKEN, LocalServer, local_server, raw, redirect, send

from backend.labelstudio.fetch_limits import FetchLimits
from backend.labelstudio.images import ImageFetcher
from backend.runtime.errors import FetchError, SettingsError

PUBLIC = "93.184.216.34"
QUICK = FetchLimits(connect_timeout_s=1, read_timeout_s=0.3, total_timeout_s=0.8)
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
Make = Callable[..., ImageFetcher]


@pytest.fixture
def label_studio() -> Iterator[LocalServer]:
    with local_server() as running:
        yield running


@pytest.fixture
def internet(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Every connection to a public address ends at `server`; gives the addresses asked for."""
    asked: list[tuple[str, int]] = []
    connect = socket.create_connection

    def diverted(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        asked.append(address)
        there = ("127.0.0.1", server.port) if address[0] == PUBLIC else address
        return connect(there, *args, **kwargs)

    monkeypatch.setattr(socket, "create_connection", diverted)
    return asked


def names(**table: str) -> Callable[[str, int], list[str]]:
    """A resolver: first part of the host name -> address."""
    return lambda host, port: [table[host.partition(".")[0]]]


# --- which hosts


def test_public_host(make: Make, server: LocalServer, internet: list[tuple[str, int]]) -> None:
    server.routes["/a.jpg"] = send()
    fetcher = make("http://ls.test", resolver=names(photos=PUBLIC))
    assert fetcher.fetch("http://photos.test/a.jpg?v=1") == IMAGE
    assert internet == [(PUBLIC, 80)]
    assert server.seen[0].headers["host"] == "photos.test"
    assert server.targets == ["/a.jpg?v=1"]
    assert server.tokens("/") == [None]


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "0.0.0.0", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1",
     "127.1", "LOCALHOST.", "①②⑦.0.0.1"],
)  # fmt: skip
def test_loopback_in_every_spelling(make: Make, server: LocalServer, host: str) -> None:
    server.routes["/a.jpg"] = send()
    with pytest.raises(FetchError):
        make().fetch(f"http://{host}:{server.port}/a.jpg")
    assert server.seen == []


@pytest.mark.parametrize("host", ["10.0.0.1", "192.168.0.1", "169.254.169.254", "[fd00:ec2::254]"])
def test_private_addresses(make: Make, host: str) -> None:
    with pytest.raises(FetchError, match=r"not a public address.*LABELVINO_ALLOWED_HOSTS"):
        make().fetch(f"http://{host}/latest/meta-data/")


def test_address_without_a_scheme_is_not_label_studios(
    make: Make, label_studio: LocalServer
) -> None:
    for url in (f"//127.0.0.1:{label_studio.port}/a", f"\\\\127.0.0.1:{label_studio.port}/a"):
        with pytest.raises(FetchError):
            make(label_studio.url).fetch(url)
    assert label_studio.seen == []


def test_allowed_host(make: Make, server: LocalServer) -> None:
    server.routes["/a.jpg"] = send()
    url = f"http://minio.lan:{server.port}/a.jpg"
    resolver = names(minio="127.0.0.1")
    for allowed in ("minio.lan", f"minio.lan:{server.port}", "127.0.0.0/8", "127.0.0.1"):
        assert make(allowed_hosts=[allowed], resolver=resolver).fetch(url) == IMAGE
    for allowed in ("minio", "minio.lan:1", "127.0.0.1:1", "10.0.0.0/8"):
        with pytest.raises(FetchError, match="LABELVINO_ALLOWED_HOSTS"):
            make(allowed_hosts=[allowed], resolver=resolver).fetch(url)


def test_rebinding_gains_nothing(
    make: Make, server: LocalServer, internet: list[tuple[str, int]]
) -> None:
    """The name is asked once, and the connection goes where the check looked."""
    server.routes["/a.jpg"] = send()
    answers = [[PUBLIC], ["127.0.0.1"]]
    fetcher = make(resolver=lambda host, port: answers.pop(0))
    assert fetcher.fetch("http://rebind.test/a.jpg") == IMAGE
    assert answers == [["127.0.0.1"]]
    assert internet == [(PUBLIC, 80)]


def test_https_name_of_a_pinned_address(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca, tls = make_ca(tmp_path)
    with local_server(tls) as secure:
        secure.routes["/a.jpg"] = send()
        url = f"https://ls.test:{secure.port}/a.jpg"
        settings = {"allowed_hosts": ["ls.test"], "resolver": names(ls="127.0.0.1")}
        assert make(ca_bundle=ca, **settings).fetch(url) == IMAGE
        with pytest.raises(FetchError, match="LABELVINO_CA_BUNDLE"):
            make(**settings).fetch(url)


def test_unknown_host_and_closed_port(make: Make) -> None:
    with pytest.raises(FetchError, match="not known"):
        make(resolver=lambda host, port: []).fetch("http://nowhere.test/a.jpg")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(FetchError, match="no connection"):
            make(allowed_hosts=["127.0.0.1"]).fetch(f"http://127.0.0.1:{port}/a.jpg")


def test_second_address_is_tried(make: Make, server: LocalServer) -> None:
    server.routes["/a.jpg"] = send()
    fetcher = make(allowed_hosts=["two.test"], resolver=lambda h, p: ["127.9.9.9", "127.0.0.1"])
    assert fetcher.fetch(f"http://two.test:{server.port}/a.jpg") == IMAGE


# --- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed(make: Make, server: LocalServer, status: int) -> None:
    server.routes.update({"/a": redirect("b/c?x=1", status), "/b/c": send()})
    assert make(allowed_hosts=["127.0.0.1"]).fetch(f"{server.url}/a") == IMAGE
    assert server.targets == ["/a", "/b/c?x=1"]


def test_redirect_to_a_forbidden_address(make: Make, server: LocalServer) -> None:
    with local_server() as internal:
        internal.routes["/secret"] = send()
        targets = [f"{internal.url}/secret", "http://169.254.169.254/", "file:///etc/passwd",
                   f"//localhost:{internal.port}/secret", "data:,x", "gopher://h/"]  # fmt: skip
        fetcher = make(allowed_hosts=[f"127.0.0.1:{server.port}"])
        for target in targets:
            server.routes["/a"] = redirect(target)
            with pytest.raises(FetchError, match=r"redirected|http"):
                fetcher.fetch(f"{server.url}/a")
        assert internal.seen == []


def test_redirects_end(make: Make, server: LocalServer) -> None:
    server.routes.update({f"/{i}": redirect(f"/{i + 1}") for i in range(6)})
    server.routes.update({"/5": send(), "/loop": redirect("/loop")})
    fetcher = make(allowed_hosts=["127.0.0.1"])
    assert fetcher.fetch(f"{server.url}/0") == IMAGE
    server.routes.update({"/5": redirect("/6"), "/6": send()})
    for path in ("0", "loop"):
        with pytest.raises(FetchError, match="more than 5 redirects"):
            fetcher.fetch(f"{server.url}/{path}")


@pytest.mark.parametrize("location", ["http://[", "http://h:x/", "", "\xff\xfe"])
def test_damaged_redirect(make: Make, server: LocalServer, location: str) -> None:
    server.routes["/a"] = redirect(location)
    with pytest.raises(FetchError):
        make(allowed_hosts=["127.0.0.1"], limits=FetchLimits(max_redirects=1)).fetch(
            f"{server.url}/a"
        )


def test_token_does_not_come_back_to_a_chain_that_left(
    make: Make, server: LocalServer, label_studio: LocalServer
) -> None:
    """A foreign host must not be able to use our token by sending us back."""
    label_studio.routes.update({"/data/a": redirect(f"{server.url}/b"), "/data/c": send()})
    server.routes["/b"] = redirect(f"{label_studio.url}/data/c")
    fetcher = make(label_studio.url, allowed_hosts=[f"127.0.0.1:{server.port}"])
    assert fetcher.fetch("/data/a") == IMAGE
    assert label_studio.tokens("/data") == [f"Token {LEGACY_TOKEN}", None]
    assert server.tokens("/") == [None]
    assert fetcher.fetch(f"{server.url}/b") == IMAGE
    assert label_studio.tokens("/data/c") == [None, None]


def test_cookies_are_not_kept(make: Make, server: LocalServer) -> None:
    server.routes["/a"] = send(Set_Cookie="session=1; Path=/")
    fetcher = make(allowed_hosts=["127.0.0.1"])
    for _ in range(2):
        assert fetcher.fetch(f"{server.url}/a") == IMAGE
    assert all("cookie" not in request.headers for request in server.seen)


# --- size


@pytest.mark.parametrize(
    "answer",
    [
        send(body=b"a" * 1001),
        raw(HEAD + b"Content-Length: 999999999999\r\n\r\n" + b"a" * 10),
        raw(HEAD + b"\r\n", b"a" * 5_000_000),
        raw(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", (b"3e8\r\n" + b"a" * 1000 + b"\r\n") * 9),
        send(body=gzip.compress(b"a" * 50_000_000), Content_Encoding="gzip"),
        send(body=zlib.compress(b"a" * 1001), Content_Encoding="deflate"),
    ],
    ids=["stated", "lying", "unstated", "chunked", "gzip bomb", "deflate"],
)
def test_too_many_bytes(make: Make, server: LocalServer, answer: Any) -> None:
    server.routes["/a"] = answer
    fetcher = make(allowed_hosts=["127.0.0.1"], limits=FetchLimits(max_bytes=1000))
    with pytest.raises(FetchError, match=r"1000 bytes.*LABELVINO_MAX_IMAGE_BYTES"):
        fetcher.fetch(f"{server.url}/a")


@pytest.mark.parametrize(
    "answer",
    [
        send(body=b"a" * 1000),
        raw(HEAD + b"\r\n" + b"a" * 1000),
        raw(HEAD + b"Content-Length: 1000\r\n\r\n" + b"a" * 1000 + b"more"),
        send(body=gzip.compress(b"a" * 1000), Content_Encoding="gzip"),
        send(body=zlib.compress(b"a" * 1000), Content_Encoding="deflate"),
    ],
    ids=["stated", "unstated", "more behind it", "gzip", "deflate"],
)
def test_just_as_many_bytes_as_allowed(make: Make, server: LocalServer, answer: Any) -> None:
    server.routes["/a"] = answer
    fetcher = make(allowed_hosts=["127.0.0.1"], limits=FetchLimits(max_bytes=1000))
    assert fetcher.fetch(f"{server.url}/a") == b"a" * 1000
    assert server.seen[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (raw(HEAD + b"Content-Length: 1000\r\n\r\nshort"), "broke off"),
        (raw(b""), "broke off"),
        (raw(b"SSH-2.0-OpenSSH\r\n\r\n"), "broke off"),
        (send(body=b"no gzip", Content_Encoding="gzip"), "damaged"),
        (send(body=gzip.compress(IMAGE)[:-9], Content_Encoding="gzip"), "cut off"),
        (send(body=b"x", Content_Encoding="br"), "packed with 'br'"),
        (send(body=b"x", Content_Encoding="gzip, gzip"), "packed with"),
        (send(body=b"\n<!DOCTYPE html><title>x", kind="text/html"), "web page"),
        (send(body=b"<html lang='en'>"), "web page"),
        (send(403), "presigned address may have expired"),
        (send(404), "no such image"),
        (send(206), "HTTP 206"),
        (send(302), "HTTP 302"),
    ],
)
def test_answers_that_are_no_image(
    make: Make, server: LocalServer, answer: Any, reason: str
) -> None:
    server.routes["/a"] = answer
    with pytest.raises(FetchError, match=reason):
        make(allowed_hosts=["127.0.0.1"]).fetch(f"{server.url}/a")


def test_idle_connection_that_the_server_closed(make: Make, server: LocalServer) -> None:
    """The server drops the second request of each connection unanswered."""
    used: set[Any] = set()

    def once(handler: BaseHTTPRequestHandler) -> None:
        if handler.client_address in used:
            handler.close_connection = True
            return
        used.add(handler.client_address)
        send()(handler)

    server.routes["/a"] = once
    fetcher = make(allowed_hosts=["127.0.0.1"])
    assert [fetcher.fetch(f"{server.url}/a") for _ in range(2)] == [IMAGE, IMAGE]


# --- time


@pytest.mark.parametrize(
    "pieces",
    [
        [b""] * 99,
        [HEAD + b"Content-Length: 99\r\n\r\n"] + [b""] * 99,
        [bytes([b]) for b in HEAD * 9],
        [HEAD + b"Content-Length: 99\r\n\r\n"] + [b"a"] * 99,
        [HEAD + b"\r\n"] + [b"a"] * 99,
    ],
    ids=["silent", "silent after the head", "dripping head", "dripping body", "dripping for ever"],
)
def test_slow_servers(make: Make, server: LocalServer, pieces: list[bytes]) -> None:
    stop = threading.Event()
    server.routes["/a"] = raw(*pieces, pause=stop, pause_s=0.1)
    started_s = time.monotonic()
    with pytest.raises(FetchError, match="LABELVINO_FETCH_TIMEOUT"):
        make(allowed_hosts=["127.0.0.1"], limits=QUICK).fetch(f"{server.url}/a")
    assert time.monotonic() - started_s < 1.5
    stop.set()


def test_deadline_of_the_caller_is_kept(make: Make, server: LocalServer) -> None:
    stop = threading.Event()
    server.routes["/a"] = raw(HEAD + b"\r\n", *[b"a"] * 99, pause=stop, pause_s=0.1)
    started_s = time.monotonic()
    with pytest.raises(FetchError, match="in time"):
        make(allowed_hosts=["127.0.0.1"]).fetch(f"{server.url}/a", deadline=started_s + 0.4)
    assert 0.3 < time.monotonic() - started_s < 1.2
    stop.set()


def test_slow_redirects_share_one_time(make: Make, server: LocalServer) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.25)
        redirect("/a")(handler)

    server.routes["/a"] = slow
    started_s = time.monotonic()
    with pytest.raises(FetchError, match="in time"):
        make(allowed_hosts=["127.0.0.1"], limits=QUICK).fetch(f"{server.url}/a")
    assert time.monotonic() - started_s < 1.3


def test_tls_handshake_that_never_comes(make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/a"
        started_s = time.monotonic()
        with pytest.raises(FetchError, match="in time"):
            make(allowed_hosts=["127.0.0.1"], limits=QUICK).fetch(url)
        assert time.monotonic() - started_s < 1.5


def test_many_threads_use_one_fetcher(make: Make, server: LocalServer) -> None:
    for i in range(8):
        server.routes[f"/{i}"] = send(body=bytes([i]) * 1000)
    fetcher = make(allowed_hosts=["127.0.0.1"])
    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(lambda i: fetcher.fetch(f"{server.url}/{i % 8}"), range(64)))
    assert found == [bytes([i % 8]) * 1000 for i in range(64)]


# --- proxies, environment and logs


def test_environment_is_ignored(
    make: Make, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["/a"] = send()
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert make(allowed_hosts=["127.0.0.1"]).fetch(f"{server.url}/a") == IMAGE


def test_proxy_gets_public_hosts_only(make: Make, server: LocalServer) -> None:
    with local_server() as proxy:
        proxy.routes["http://photos.test/a"] = send(body=b"through the proxy")
        server.routes["/a"] = send()
        fetcher = make(
            proxy=proxy.url.replace("//", "//user:geheim@"),
            allowed_hosts=["minio.test"],
            resolver=names(photos=PUBLIC, minio="127.0.0.1", evil="127.0.0.1"),
        )
        assert fetcher.fetch("http://photos.test/a") == b"through the proxy"
        assert fetcher.fetch(f"http://minio.test:{server.port}/a") == IMAGE
        with pytest.raises(FetchError, match="LABELVINO_ALLOWED_HOSTS"):
            fetcher.fetch("http://evil.test/a")
        assert proxy.targets == ["http://photos.test/a"]
        assert proxy.seen[0].headers["proxy-authorization"].startswith("Basic ")
        assert "proxy-authorization" not in server.seen[0].headers


def test_proxy_that_refuses_and_proxy_that_makes_no_sense(make: Make) -> None:
    with local_server() as proxy:
        fetcher = make(proxy=proxy.url, resolver=names(photos=PUBLIC))
        with pytest.raises(FetchError, match="LABELVINO_PROXY"):
            fetcher.fetch("https://photos.test/a")
    for text in ("proxy:3128", "socks5://u:geheim@proxy", "http://u:geheim@", "http://p:x"):
        with pytest.raises(SettingsError, match="LABELVINO_PROXY") as caught:
            make(proxy=text)
        assert "geheim" not in str(caught.value)


def test_signatures_are_not_in_logs(
    make: Make, server: LocalServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.routes.update({"/a": redirect("/b?Signature=geheim"), "/b": send()})
    assert make(allowed_hosts=["127.0.0.1"]).fetch(f"{server.url}/a") == IMAGE
    assert "geheim" not in caplog.text


def test_limits_that_make_no_sense() -> None:
    for settings in ({"max_bytes": 0}, {"total_timeout_s": -1}, {"max_redirects": -1}):
        with pytest.raises(SettingsError):
            FetchLimits(**settings)
    with pytest.raises(SettingsError):
        FetchLimits(read_timeout_s=float("nan"))
