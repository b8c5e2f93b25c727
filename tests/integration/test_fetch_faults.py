"""`labelvino-model fetch` against servers, networks and environments that are wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
from fetching import CONTENT, HALF, SHA256, STATED, fetch, file_of, left, serve_files
from file_server import FileServer, ServedFile

from backend.runtime.errors import FetchError
from converter.fetch import RECORD
from converter.web_address import check_redirect
from tests.unit.labelstudio.local_ca import make_ca


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    yield from serve_files(monkeypatch)


Fault = Callable[[FileServer], dict[str, object]]


def serving(file: ServedFile, **stated: object) -> Fault:
    def make(server: FileServer) -> dict[str, object]:
        server.files["/m.onnx"] = file
        return file_of(server, **stated)

    return make


def nowhere(server: FileServer) -> dict[str, object]:
    return {"path": "m.onnx", "url": "http://127.0.0.1:9/m.onnx"}


def redirect(location: str, **stated: object) -> Fault:
    return serving(ServedFile(status=302, headers={"Location": location}), **stated)


# fault, reason, what stays in the folder
FAULTS: dict[str, tuple[Fault, str, list[str]]] = {
    "not there": (serving(ServedFile(b"<h1>no</h1>", status=404)), r"is not there \(404\)", []),
    "gone": (serving(ServedFile(status=410)), r"is gone \(410\)", []),
    "login": (serving(ServedFile(status=401)), r"wants a login \(401\)", []),
    "forbidden": (serving(ServedFile(status=403)), r"is refused \(403\)", []),
    "teapot": (serving(ServedFile(status=418)), "answered 418", []),
    "always busy": (serving(ServedFile(busy_answers=99)), r"is busy .*503\): try again", []),
    "no server": (nowhere, "cannot be reached .*: try again", []),
    "a web page": (
        serving(ServedFile(b"<html>", headers={"Content-Type": "text/html; charset=utf-8"})),
        "is a web page and no file", [],
    ),
    "re-coded": (
        serving(ServedFile(b"x", headers={"Content-Encoding": "gzip"})), "comes re-coded", []
    ),
    "another size than stated": (
        serving(ServedFile(CONTENT), size=5), f"has {len(CONTENT)} bytes, but must have 5", []
    ),
    "more than stated, without a length": (
        serving(ServedFile(CONTENT, chunked=True), size=5), "sends more than the 5 bytes", []
    ),
    "a length that is too large": (
        serving(ServedFile(CONTENT, claims=len(CONTENT) + 9, ranges=False)),
        "broke off .*: the same command goes on", ["m.onnx.part", "m.onnx.part.json"],
    ),
    "a length that is too small": (
        serving(ServedFile(CONTENT, claims=5), **STATED), "has 5 bytes, but must have", []
    ),
    "no model has that size": (
        serving(ServedFile(b"x", claims=1 << 50)), "bytes, which no model has", []
    ),
    "another digest": (
        serving(ServedFile(b"y" * len(CONTENT)), **STATED), f"must have sha256:{SHA256}", []
    ),
    "silence": (
        serving(ServedFile(CONTENT, breaks_after=[HALF] * 9, stalls=True, ranges=False)),
        "does not answer in time", ["m.onnx.part", "m.onnx.part.json"],
    ),
    "a redirect to a file": (redirect("file:///etc/passwd"), "leads to 'file:'", []),
    "a redirect to nonsense": (redirect("http://[::1"), "leads to an address", []),
    "a redirect to itself": (redirect("/m.onnx"), "without end", []),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_is_one_line(
    case: str, server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fault, reason, stays = FAULTS[case]
    file = fault(server)
    options = ("--timeout", "1", "--attempts", "2")
    assert fetch(tmp_path, file, options=options) == 1
    *shown, line = capsys.readouterr().err.splitlines()
    assert line.startswith("labelvino-model: "), line
    assert re.search(reason, line), line
    assert shown[-1] == f"           {file['url']}"
    assert left(tmp_path) == stays
    assert (tmp_path / "toy").exists() == bool(stays)


def test_a_redirect_is_followed(server: FileServer, tmp_path: Path) -> None:
    server.files["/old"] = ServedFile(status=302, headers={"Location": "/m.onnx?token=secret"})
    server.files["/m.onnx?token=secret"] = ServedFile(CONTENT)
    file = {"path": "m.onnx", "url": f"{server.url}/old", **STATED}
    assert fetch(tmp_path, file) == 0
    assert "secret" not in (tmp_path / "toy" / RECORD).read_text()


@pytest.mark.parametrize(
    ("here", "there", "reason"),
    [
        ("https://models.test/a", "http://models.test/a", "without encryption"),
        ("https://93.184.215.14/a", "https://127.0.0.1/a", "private network"),
        ("https://93.184.215.14/a", "https://localhost./a", "private network"),
        ("https://93.184.215.14/a", "https://[::1]/a", "private network"),
        ("https://93.184.215.14/a", "https://10.1.2.3/a", "private network"),
        ("https://93.184.215.14/a", "https://169.254.169.254/a", "private network"),
        ("https://93.184.215.14/a", "ftp://93.184.215.14/a", "no web address"),
    ],
)
def test_redirects_that_are_refused(here: str, there: str, reason: str) -> None:
    with pytest.raises(FetchError, match=reason):
        check_redirect(httpx2.URL(here), httpx2.URL(there))


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("http://93.184.215.14/a", "https://93.184.215.15/a"),
        ("http://127.0.0.1/a", "http://10.0.0.1/a"),
    ],
)
def test_redirects_that_are_fine(here: str, there: str) -> None:
    check_redirect(httpx2.URL(here), httpx2.URL(there))


def test_http_without_a_digest_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(tmp_path, {"path": "m.onnx", "url": "http://93.184.215.14/m.onnx"}) == 1
    assert "without encryption (http) and its whole digest is not known" in capsys.readouterr().err
    assert not (tmp_path / "toy").exists()


def test_a_proxy_of_the_environment_is_used(
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The proxy answers for another host, and redirects to the machine itself are refused."""
    monkeypatch.setenv("HTTP_PROXY", server.url)
    address = "http://93.184.215.14/m.onnx"
    server.files[address] = ServedFile(CONTENT)
    assert fetch(tmp_path, {"path": "m.onnx", "url": address, **STATED}) == 0
    assert server.seen == [(address, None)]
    server.files[address] = ServedFile(status=302, headers={"Location": f"{server.url}/x"})
    file = {"path": "m.onnx", "url": address, **STATED}
    assert fetch(tmp_path, file, options=("--force",)) == 1
    assert "leads to 127.0.0.1, an address of a private network" in capsys.readouterr().err
    assert len(server.seen) == 2


def test_a_certificate_authority_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    authority, tls = make_ca(tmp_path)
    with FileServer.running(tls) as server:
        server.files["/m.onnx"] = ServedFile(CONTENT)
        assert fetch(tmp_path, file_of(server)) == 1
        assert "has a certificate that is not trusted" in capsys.readouterr().err
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert fetch(tmp_path, file_of(server)) == 0
        server.files["/m.onnx"] = ServedFile(
            status=302, headers={"Location": server.url.replace("https", "http")}
        )
        assert fetch(tmp_path, file_of(server), options=("--force",)) == 1
        assert "without encryption (http): it is refused" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("SSL_CERT_FILE", "/nothing.pem", "SSL_CERT_FILE or .* No such file"),
        ("SSL_CERT_FILE", __file__, "SSL_CERT_FILE or .* no certificate"),
        ("ALL_PROXY", "socks5://127.0.0.1:9", "the proxy of .*SOCKS"),
        ("HTTP_PROXY", "ftp://127.0.0.1:9", "the proxy of .*Unknown scheme"),
        ("HTTP_PROXY", "http://127.0.0.1:9", "cannot be reached .*, and a proxy is set"),
    ],
)
def test_an_environment_that_cannot_be_used(
    variable: str,
    value: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(variable, value)
    file = {"path": "m.onnx", "url": "http://93.184.215.14/m.onnx", **STATED}
    assert fetch(tmp_path, file, options=("--attempts", "1")) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert re.search(reason, line), line
    assert not (tmp_path / "toy").exists()
