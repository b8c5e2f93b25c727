"""Every kind of address, and who gets the token."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_server import IMAGE, LEGACY_TOKEN, LocalServer, local_server, redirect, send

from backend.labelstudio.fetch_limits import FetchLimits
from backend.labelstudio.images import ImageFetcher
from backend.runtime.errors import FetchError, SettingsError

Make = Callable[..., ImageFetcher]


@pytest.fixture
def other() -> Iterator[LocalServer]:
    """A host that is not Label Studio."""
    with local_server() as running:
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`root/photos/a.jpg`, and beside the root `secret.jpg`."""
    folder = tmp_path / "root"
    (folder / "photos").mkdir(parents=True)
    (folder / "photos" / "a.jpg").write_bytes(IMAGE)
    (folder / "photos" / "ä b.jpg").write_bytes(IMAGE + b"2")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    return folder


# --- data: URIs


@pytest.mark.parametrize("url", ["", "  "])
def test_empty_address(make: Make, url: str) -> None:
    with pytest.raises(FetchError, match="no image address"):
        make().fetch(url)


@pytest.mark.parametrize(
    ("url", "data"),
    [
        ("data:,", b""),
        ("data:,a%20b%ff", b"a b\xff"),
        ("data:image/jpeg;base64,/9j/AA==", b"\xff\xd8\xff\x00"),
        ("DATA:image/jpeg;charset=x;BASE64,/9j/AA", b"\xff\xd8\xff\x00"),
        ("data:image/jpeg;base64,%2F9j%2F\nAA%3D%3D", b"\xff\xd8\xff\x00"),
        (" data:;base64,/9j/AA==\n", b"\xff\xd8\xff\x00"),
    ],
)
def test_data_uri(make: Make, url: str, data: bytes) -> None:
    assert make().fetch(url) == data


@pytest.mark.parametrize(
    "url", ["data:image/png", "data:image/png;base64,A", "data:;base64,?*", "data:;base64,ää"]
)
def test_damaged_data_uri(make: Make, url: str) -> None:
    with pytest.raises(FetchError, match="data: URI"):
        make().fetch(url)


@pytest.mark.parametrize(
    "url", ["data:," + "a" * 12, "data:;base64," + base64.b64encode(b"a" * 12).decode()]
)
def test_data_uri_limit_is_exact(make: Make, url: str) -> None:
    assert make(limits=FetchLimits(max_bytes=12)).fetch(url) == b"a" * 12
    with pytest.raises(FetchError, match="LABELVINO_MAX_IMAGE_BYTES"):
        make(limits=FetchLimits(max_bytes=11)).fetch(url)


def test_data_uri_above_the_limit_is_not_decoded(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("base64.b64decode", lambda *a, **k: pytest.fail("decoded"))
    with pytest.raises(FetchError, match="LABELVINO_MAX_IMAGE_BYTES") as caught:
        make(limits=FetchLimits(max_bytes=10)).fetch("data:;base64," + "A" * 4000)
    assert len(str(caught.value)) < 300


# --- Label Studio's own addresses


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("/data/upload/1/my_photo_%C3%A4.jpg", "/data/upload/1/my_photo_%C3%A4.jpg"),
        ("/data/upload/1/my photo ä.jpg", "/data/upload/1/my%20photo%20%C3%A4.jpg"),
        ("/data/upload/1/a.jpg?v=2", "/data/upload/1/a.jpg?v=2"),
        ("upload/a.jpg", "/upload/a.jpg"),
        ("/data/local-files/?d=photos/ä b.jpg", "/data/local-files/?d=photos/%C3%A4%20b.jpg"),
    ],
)
def test_relative_addresses_with_the_token(
    make: Make, server: LocalServer, url: str, target: str
) -> None:
    server.routes[target.partition("?")[0]] = send()
    assert make(server.url).fetch(url) == IMAGE
    assert server.targets == [target]
    assert server.tokens("/") == [f"Token {LEGACY_TOKEN}"]


def test_absolute_address_of_label_studio_with_the_token(make: Make, server: LocalServer) -> None:
    server.routes["/data/upload/a.jpg"] = send()
    assert make(server.url).fetch(f"{server.url}/data/upload/a.jpg") == IMAGE
    assert server.tokens("/") == [f"Token {LEGACY_TOKEN}"]


def test_label_studio_below_a_path_prefix(make: Make, server: LocalServer) -> None:
    for path in ("/ls/data/upload/a.jpg", "/neighbour.jpg"):
        server.routes[path] = send()
    fetcher = make(f"{server.url}/ls")
    assert fetcher.fetch("/data/upload/a.jpg") == IMAGE
    assert fetcher.fetch("/ls/data/upload/a.jpg") == IMAGE
    assert fetcher.fetch(f"{server.url}/neighbour.jpg") == IMAGE
    assert server.tokens("/") == [f"Token {LEGACY_TOKEN}", f"Token {LEGACY_TOKEN}", None]


@pytest.mark.parametrize("url", ["/data/upload/a.jpg", "a.jpg", "s3://b/a.jpg"])
def test_no_label_studio_configured(make: Make, url: str) -> None:
    with pytest.raises(FetchError, match="LABEL_STUDIO_URL"):
        make().fetch(url, task_id=1)


@pytest.mark.parametrize(
    ("status", "token", "remedy"),
    [
        (401, LEGACY_TOKEN, "LABEL_STUDIO_API_KEY"),
        (401, None, "set LABEL_STUDIO_API_KEY"),
        (403, LEGACY_TOKEN, "access to the project"),
        (404, LEGACY_TOKEN, "no such image"),
        (500, LEGACY_TOKEN, "upload that is no longer there, too"),
    ],
)
def test_refusals_of_label_studio(
    make: Make, server: LocalServer, status: int, token: str | None, remedy: str
) -> None:
    server.routes["/data/upload/a.jpg"] = send(status)
    with pytest.raises(FetchError, match=f"^/data/upload/a.jpg: .*{remedy}"):
        make(server.url, token).fetch("/data/upload/a.jpg")


def test_login_page(make: Make, server: LocalServer) -> None:
    server.routes["/data/upload/a.jpg"] = redirect("/user/login/?next=/data/upload/a.jpg")
    with pytest.raises(FetchError, match="asks for a login"):
        make(server.url).fetch("/data/upload/a.jpg")


def test_label_studio_that_moved_to_https(make: Make, server: LocalServer) -> None:
    server.routes["/data/a.jpg"] = redirect(server.url.replace("http:", "https:") + "/data/a.jpg")
    with pytest.raises(FetchError, match="set LABEL_STUDIO_URL to its https"):
        make(server.url).fetch("/data/a.jpg")


# --- cloud storage


@pytest.mark.parametrize("uri", ["s3://bkt/dir a/im ü.jpg", "gs://b/k", "azure-blob://c/k"])
def test_cloud_address_signed_by_label_studio(
    make: Make, server: LocalServer, other: LocalServer, uri: str
) -> None:
    signed = f"{other.url}/k.jpg?X-Amz-Signature=ge%2Fhe%2Bim"
    server.routes["/tasks/7/presign/"] = redirect(signed, 303)
    other.routes["/k.jpg"] = send()
    fetcher = make(server.url, allowed_hosts=[f"127.0.0.1:{other.port}"])
    assert fetcher.fetch(uri, task_id=7) == IMAGE
    encoded = server.targets[0].partition("fileuri=")[2].replace("%3D", "=")
    assert base64.urlsafe_b64decode(encoded).decode() == uri
    assert server.tokens("/") == [f"Token {LEGACY_TOKEN}"]
    assert other.targets == ["/k.jpg?X-Amz-Signature=ge%2Fhe%2Bim"]
    assert other.tokens("/") == [None]
    assert LEGACY_TOKEN not in str(other.seen)


def test_cloud_address_passed_on_by_label_studio(make: Make, server: LocalServer) -> None:
    server.routes["/tasks/7/presign/"] = send()
    assert make(server.url).fetch("s3://b/k.jpg", task_id=7) == IMAGE


def test_private_storage_needs_leave_and_signatures_stay_secret(
    make: Make, server: LocalServer, other: LocalServer
) -> None:
    server.routes["/tasks/7/presign/"] = redirect(f"{other.url}/k.jpg?Signature=geheim", 303)
    with pytest.raises(FetchError, match="LABELVINO_ALLOWED_HOSTS") as caught:
        make(server.url).fetch("s3://b/k.jpg", task_id=7)
    assert "geheim" not in str(caught.value)
    assert f"{other.url}/k.jpg?***" in str(caught.value)
    assert other.seen == []


def test_cloud_address_without_a_task(make: Make, server: LocalServer) -> None:
    with pytest.raises(FetchError, match="task with an id"):
        make(server.url).fetch("s3://b/k.jpg")


# --- files on disk


@pytest.mark.parametrize("kind", ["path", "file://", "file:", "file://localhost"])
def test_absolute_path_below_the_root(make: Make, root: Path, kind: str) -> None:
    prefix = "" if kind == "path" else kind
    fetcher = make(local_files_root=root)
    assert fetcher.fetch(f"{prefix}{root}/photos/a.jpg") == IMAGE
    with pytest.raises(FetchError, match="not there"):
        fetcher.fetch(f"{prefix}{root}/photos/none.jpg")


def test_file_address_is_percent_decoded(make: Make, root: Path) -> None:
    url = f"file://{root}/photos/%C3%A4%20b.jpg"
    assert make(local_files_root=root).fetch(url) == IMAGE + b"2"


@pytest.mark.parametrize("d", ["photos/ä b.jpg", "photos/%C3%A4+b.jpg", "/photos/%C3%A4%20b.jpg"])
def test_local_files_address_is_read_from_disk(
    make: Make, server: LocalServer, root: Path, d: str
) -> None:
    fetcher = make(server.url, local_files_root=root)
    assert fetcher.fetch(f"/data/local-files/?d={d}") == IMAGE + b"2"
    assert fetcher.fetch(f"{server.url}/data/local-files/?d={d}") == IMAGE + b"2"
    assert make(local_files_root=root).fetch(f"/data/local-files/?d={d}") == IMAGE + b"2"
    assert server.seen == []


def test_local_file_that_is_not_on_this_disk(make: Make, server: LocalServer, root: Path) -> None:
    server.routes["/data/local-files/"] = send()
    assert make(server.url, local_files_root=root).fetch("/data/local-files/?d=b.jpg") == IMAGE
    with pytest.raises(FetchError, match="LABEL_STUDIO_URL"):
        make(local_files_root=root).fetch("/data/local-files/?d=b.jpg")


@pytest.mark.parametrize("url", ["/mnt/a.jpg", "file:///mnt/a.jpg"])
def test_absolute_path_without_a_root(make: Make, server: LocalServer, url: str) -> None:
    with pytest.raises(FetchError, match="LABELVINO_LOCAL_FILES_ROOT"):
        make(server.url).fetch(url)
    assert server.seen == []


@pytest.mark.parametrize(
    "url",
    [
        "{root}/../secret.jpg",
        "{root}-neighbour/a.jpg",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://{root}/%2e%2e/secret.jpg",
        "/data/local-files/?d=../secret.jpg",
        "/data/local-files/?d=..%2Fsecret.jpg",
        "/data/local-files/?d=photos/../../secret.jpg",
        "{root}/link.jpg",
        "{root}/up/secret.jpg",
        "/data/local-files/?d=link.jpg",
        "/data/local-files/?d=up/secret.jpg",
    ],
)
def test_ways_out_of_the_root(make: Make, server: LocalServer, root: Path, url: str) -> None:
    (root / "link.jpg").symlink_to(root.parent / "secret.jpg")
    (root / "up").symlink_to(root.parent)
    server.routes["/data/local-files/"] = send()
    with pytest.raises(FetchError, match="leads out of"):
        make(server.url, local_files_root=root).fetch(url.format(root=root))
    assert server.seen == []


def test_links_within_the_root(make: Make, root: Path) -> None:
    (root / "link.jpg").symlink_to(root / "photos" / "a.jpg")
    assert make(local_files_root=root).fetch(f"{root}/link.jpg") == IMAGE


def test_root_that_is_a_link_is_known_by_both_names(make: Make, root: Path) -> None:
    alias = root.parent / "alias"
    alias.symlink_to(root)
    fetcher = make(local_files_root=alias)
    assert fetcher.fetch(f"{alias}/photos/a.jpg") == IMAGE
    assert fetcher.fetch(f"{root}/photos/a.jpg") == IMAGE


def test_what_is_no_file(make: Make, root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "loop").symlink_to(root / "loop")
    fetcher = make(local_files_root=root)
    for name in ("photos", "pipe"):
        with pytest.raises(FetchError, match="not a file"):
            fetcher.fetch(f"{root}/{name}")
    for name in ("loop", "a\0b", "x" * 300):
        with pytest.raises(FetchError, match="cannot be used"):
            fetcher.fetch(f"{root}/{name}")
    with pytest.raises(FetchError, match="another machine"):
        fetcher.fetch("file://fileserver/share/a.jpg")
    with pytest.raises(FetchError, match="absolute path"):
        fetcher.fetch("file:a.jpg")


def test_file_above_the_limit(make: Make, root: Path) -> None:
    limits = FetchLimits(max_bytes=len(IMAGE) - 1)
    with pytest.raises(FetchError, match="LABELVINO_MAX_IMAGE_BYTES"):
        make(local_files_root=root, limits=limits).fetch(f"{root}/photos/a.jpg")


def test_root_under_a_folder_that_label_studio_has_too(make: Make, server: LocalServer) -> None:
    server.routes["/data/upload/a.jpg"] = send()
    fetcher = make(server.url, local_files_root=Path("/usr"))
    assert fetcher.fetch("/data/upload/a.jpg") == IMAGE


def test_root_that_cannot_be_used(make: Make, root: Path) -> None:
    for path in (root / "none", root / "photos" / "a.jpg", Path("/")):
        with pytest.raises(SettingsError, match="LABELVINO_LOCAL_FILES_ROOT"):
            make(local_files_root=path)


# --- what is refused


@pytest.mark.parametrize(
    "url",
    ["ftp://h/a.jpg", "javascript:alert(1)", "C:\\photos\\a.jpg", "gopher://h/", "unix:/run/x"],
)
def test_other_kinds_of_address(make: Make, server: LocalServer, url: str) -> None:
    with pytest.raises(FetchError, match="are not fetched"):
        make(server.url).fetch(url)


@pytest.mark.parametrize(
    "url", ["http://", "http:///a.jpg", "http://h:x/", "http://[::1/", "http://h:99999/", "http:a"]
)
def test_damaged_addresses(make: Make, url: str) -> None:
    with pytest.raises(FetchError, match=r"damaged|no host"):
        make().fetch(url)


def test_user_names_in_addresses(make: Make, server: LocalServer) -> None:
    server.routes["/r"] = redirect(f"http://u:geheim@127.0.0.1:{server.port}/a.jpg")
    fetcher = make(allowed_hosts=["127.0.0.1"])
    for url in (f"http://u:geheim@127.0.0.1:{server.port}/a.jpg", f"{server.url}/r"):
        with pytest.raises(FetchError, match="user name or password") as caught:
            fetcher.fetch(url)
        assert "geheim" not in str(caught.value)


def test_deadline_that_is_over(make: Make, server: LocalServer) -> None:
    server.routes["/data/a.jpg"] = send()
    with pytest.raises(FetchError, match="time was over"):
        make(server.url).fetch("/data/a.jpg", deadline=time.monotonic() - 1)
    assert server.seen == []
