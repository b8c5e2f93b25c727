"""Tasks that name the same Label Studio otherwise."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import httpx2
import pytest
from local_server import IMAGE, LEGACY_TOKEN, LocalServer, local_server, redirect, send

from backend.label_studio_access import open_image_fetcher
from backend.labelstudio.aliases import Alias
from backend.labelstudio.images import ImageFetcher
from backend.runtime.errors import FetchError, SettingsError
from backend.settings import load_settings

Make = Callable[..., ImageFetcher]
TOKEN = f"Token {LEGACY_TOKEN}"


@pytest.mark.parametrize(
    ("entry", "url", "path"),
    [
        ("localhost:8080", "http://localhost:8080/data/a.jpg?v=1", "/data/a.jpg?v=1"),
        ("LocalHost:8080", "https://LOCALHOST:8080/a", "/a"),
        ("localhost:8080", "http://localhost:8081/a", None),
        ("localhost:8080", "http://localhost/a", None),
        ("localhost:8080", "http://localhost.evil.org:8080/a", None),
        ("studio", "http://studio/a", "/a"),
        ("studio", "http://studio:80/a", "/a"),
        ("studio", "https://studio/a", "/a"),
        ("studio", "http://studio:8080/a", None),
        ("[::1]:8080", "http://[::1]:8080/ä", "/%C3%A4"),
        ("https://studio", "http://studio/a", None),
        ("https://studio/", "https://studio/a", "/a"),
        ("https://studio/ls", "https://studio/ls/a", "/a"),
        ("https://studio/ls", "https://studio/lsd/a", None),
        ("https://studio/ls", "https://studio/a", None),
    ],
)
def test_what_a_name_means(entry: str, url: str, path: str | None) -> None:
    assert Alias.parse(entry).path_of(httpx2.URL(url)) == path


@pytest.mark.parametrize(
    "entry", ["", "a b", "ftp://studio", "user:hush@studio:80", "studio/ls", "http://studio?a=1"]
)
def test_what_is_no_name(entry: str) -> None:
    with pytest.raises(SettingsError, match="LABELVINO_LABEL_STUDIO_ALIASES") as caught:
        Alias.parse(entry)
    assert "hush" not in str(caught.value)


def test_names_need_a_label_studio(make: Make) -> None:
    with pytest.raises(SettingsError, match="LABEL_STUDIO_URL"):
        make(aliases=["localhost:8080"])


def test_an_image_at_another_name_comes_from_the_configured_address(
    make: Make, server: LocalServer
) -> None:
    server.routes["/ls/data/upload/a.jpg"] = send()
    with local_server() as other:
        other.otherwise = send(body=b"stranger")
        fetcher = make(f"{server.url}/ls", aliases=[f"127.0.0.1:{other.port}", "nohost.invalid"])
        assert fetcher.fetch(f"{other.url}/data/upload/a.jpg") == IMAGE
        assert fetcher.fetch("https://nohost.invalid/data/upload/a.jpg") == IMAGE
        assert fetcher.fetch(f"{other.url}/ls/data/upload/a.jpg") == IMAGE
        assert other.seen == []  # never connected to
    assert server.tokens("/") == [TOKEN] * 3


def test_without_the_name_the_message_tells_of_the_setting(make: Make, server: LocalServer) -> None:
    fetcher = make(server.url)
    for url in ("http://127.0.0.2:8080/a.jpg", "http://nohost.invalid/a.jpg"):
        with pytest.raises(FetchError, match="LABELVINO_LABEL_STUDIO_ALIASES"):
            fetcher.fetch(url)


def test_redirects_to_another_name_stay_at_home(make: Make, server: LocalServer) -> None:
    server.routes["/tasks/1/presign/"] = redirect("http://localhost:8080/data/a.jpg", 303)
    server.routes["/data/a.jpg"] = send()
    fetcher = make(server.url, aliases=["localhost:8080"])
    assert fetcher.fetch("s3://bucket/a.jpg", task_id=1) == IMAGE
    assert server.tokens("/data") == [TOKEN]


def test_a_chain_that_has_left_gets_no_token_on_its_way_back(
    make: Make, server: LocalServer
) -> None:
    server.routes["/a.jpg"] = send()
    with local_server() as stranger:
        stranger.routes["/x.jpg"] = redirect("http://localhost:8080/a.jpg")
        fetcher = make(
            server.url,
            aliases=["localhost:8080"],
            allowed_hosts=[f"127.0.0.1:{stranger.port}"],
        )
        assert fetcher.fetch(f"{stranger.url}/x.jpg") == IMAGE
        assert stranger.tokens("/") == [None]
    assert server.tokens("/") == [None]


def test_a_name_leads_not_out_of_the_prefix(make: Make, server: LocalServer) -> None:
    server.routes["/neighbour.jpg"] = send()
    fetcher = make(f"{server.url}/ls", aliases=["localhost:8080"])
    for path in ("/../neighbour.jpg", "/%2e%2e/neighbour.jpg"):
        with suppress(FetchError):  # not there, which is as good
            fetcher.fetch(f"http://localhost:8080{path}")
    assert TOKEN not in server.tokens("/neighbour")
    assert TOKEN not in server.tokens("/ls/..") and TOKEN not in server.tokens("/ls/%2e")


def test_the_setting_reaches_the_fetcher(
    server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.routes["/data/a.jpg"] = send()
    monkeypatch.setenv("LABELVINO_LABEL_STUDIO_ALIASES", "localhost:8080, https://studio.invalid")
    settings = load_settings(label_studio_url=server.url, label_studio_api_key=LEGACY_TOKEN)
    with open_image_fetcher(settings) as fetcher:
        assert fetcher.fetch("http://localhost:8080/data/a.jpg") == IMAGE
        assert fetcher.fetch("https://studio.invalid/data/a.jpg") == IMAGE
