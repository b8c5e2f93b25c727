"""`labelvino-model fetch` against a server that breaks off, lies, is slow and answers nonsense."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import openvino as ov
import pytest
from file_server import FileServer, ServedFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from own_disk import in_a_file_system_of_its_own
from toy_sources import od_api_model

from backend.runtime.engine import Engine
from backend.runtime.errors import FetchError
from converter.cli import run
from converter.fetch import RECORD
from converter.web_address import check_redirect
from tests.unit.labelstudio.local_ca import make_ca

COMMAND = Path(sys.executable).with_name("labelvino-model")
CONTENT = bytes(range(256)) * 4000  # 1 MB
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer.running() as running:
        yield running


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between attempts, and no proxy or registry of the machine."""
    monkeypatch.setattr("converter.download.sleep", lambda _seconds: None)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("SSL_CERT", "LABELVINO")):
            monkeypatch.delenv(name)


def registry(folder: Path, *files: dict[str, object], **model: object) -> Path:
    """A registry file with the one model `toy`."""
    path = folder / "models.toml"
    lines = ["[models.toy]", *(f"{k} = {json.dumps(v)}" for k, v in model.items())]
    for file in files:
        lines += ["[[models.toy.files]]", *(f"{k} = {json.dumps(v)}" for k, v in file.items())]
    path.write_text("\n".join(lines))
    return path


def fetch(tmp_path: Path, *files: dict[str, object], options: tuple[str, ...] = ()) -> int:
    """Fetch files into tmp_path/toy."""
    path = registry(tmp_path, *files)
    return run(["fetch", "toy", "--registry", str(path), "-o", str(tmp_path / "toy"), *options])


def left(tmp_path: Path) -> list[str]:
    """Names in the folder, [] where there is none."""
    return sorted(p.name for p in (tmp_path / "toy").glob("*"))


def file_of(server: FileServer, **more: object) -> dict[str, object]:
    return {"path": "m.onnx", "url": f"{server.url}/m.onnx", **more}


STATED = {"size": len(CONTENT), "digest": f"sha256:{SHA256}"}


def test_a_stated_file(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert f"m.onnx, {len(CONTENT)} bytes, sha256:{SHA256}" in err
    assert err.index(f"{server.url}/m.onnx") < err.index("fetched m.onnx")
    assert f"checked by sha256:{SHA256}" in err
    assert left(tmp_path) == [RECORD, "m.onnx"]
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT
    # and again, without a request
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert "was there m.onnx" in capsys.readouterr().err
    assert len(server.seen) == 1


def test_only_showing_asks_nobody(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fetch(tmp_path, file_of(server), options=("--show",)) == 0
    err = capsys.readouterr().err
    assert "licence  not stated" in err
    assert "size not stated, digest not stated: what comes is trusted" in err
    assert server.seen == []
    assert not (tmp_path / "toy").exists()


def test_a_password_in_an_address_is_not_shown(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    address = f"{server.url}/m.onnx".replace("//", "//me:secret@")
    assert fetch(tmp_path, {"path": "m.onnx", "url": address}) == 0
    assert "//***@127.0.0.1" in capsys.readouterr().err
    server.files["/m.onnx"] = ServedFile(status=404)
    assert fetch(tmp_path, {"path": "m.onnx", "url": address}, options=("--force",)) == 1
    assert "secret" not in capsys.readouterr().err
    assert all("secret" not in path.read_text() for path in (tmp_path / "toy").glob("*.json"))


def test_json(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    path = registry(
        tmp_path, file_of(server, **STATED), convert=["{folder}/m.onnx", "--labels", "coco80"]
    )
    folder = tmp_path / "a b"
    command = ["fetch", "toy", "--registry", str(path), "-o", str(folder), "--json"]
    assert run(command) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["new"] == ["m.onnx"]
    assert summary["files"][0]["sha256"] == SHA256
    assert summary["convert"] == (
        f"labelvino-model convert '{folder}/m.onnx' --labels coco80 -o model.xml"
    )


def test_from_a_name_to_a_model_that_is_served(
    server: FileServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The command that fetch prints converts what it fetched."""
    made = tmp_path / "made.xml"
    ov.save_model(od_api_model([((0.0, 0.0, 1.0, 1.0), 0.9, 90.0)]), made)
    files = []
    for name in ("made.xml", "made.bin"):
        content = (tmp_path / name).read_bytes()
        server.files[f"/{name}"] = ServedFile(content)
        digest = f"sha384:{hashlib.sha384(content).hexdigest()}"
        files.append({"path": name, "url": f"{server.url}/{name}", "digest": digest})
    path = registry(tmp_path, *files, convert=["{folder}/made.xml", "--labels", "coco91"])
    monkeypatch.chdir(tmp_path)
    assert run(["fetch", "toy", "--registry", str(path)]) == 0
    command = capsys.readouterr().err.splitlines()[-1].partition("convert it with: ")[2]
    assert command == "labelvino-model convert toy/made.xml --labels coco91 -o model.xml"
    assert run(command.split()[1:]) == 0
    assert Engine(tmp_path / "model.xml", device="CPU").contract.labels[79].name == "toothbrush"


def test_a_digest_that_nobody_states_is_recorded_and_compared(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    assert fetch(tmp_path, file_of(server)) == 0
    assert f"sha256:{SHA256}; nobody states its digest" in capsys.readouterr().err
    record = json.loads((tmp_path / "toy" / RECORD).read_text())
    assert record["files"][0]["sha256"] == SHA256
    assert fetch(tmp_path, file_of(server), options=("--force",)) == 0
    assert f"checked by sha256:{SHA256} of the first fetch" in capsys.readouterr().err
    server.files["/m.onnx"] = ServedFile(b"something else", etag='"v2"')
    assert fetch(tmp_path, file_of(server), options=("--force",)) == 1
    assert f"but the first time it was sha256:{SHA256}" in capsys.readouterr().err
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT
    assert left(tmp_path) == [RECORD, "m.onnx"]


def test_a_registry_that_changed_is_heeded(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    server.files["/v2.onnx"] = ServedFile(b"new")
    assert fetch(tmp_path, file_of(server)) == 0
    # a digest is stated now: the file is fetched again, and compared
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert f"checked by sha256:{SHA256}\n" in capsys.readouterr().err
    # another version, by its digest
    newer = {"digest": f"sha256:{hashlib.sha256(b'new').hexdigest()}"}
    assert fetch(tmp_path, {"path": "m.onnx", "url": f"{server.url}/v2.onnx", **newer}) == 0
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == b"new"
    # another address, without a digest: what was fetched first still counts
    assert fetch(tmp_path, file_of(server)) == 1
    assert "but the first time it was" in capsys.readouterr().err
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == b"new"


def test_a_digest_of_which_only_the_beginning_is_stated(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    md5 = hashlib.md5(CONTENT).hexdigest()[:6]
    assert fetch(tmp_path, file_of(server, digest=f"md5:{md5}")) == 0
    assert f"md5:{md5}... (only the first digits are stated" in capsys.readouterr().err
    wrong = "000000" if md5 != "000000" else "111111"
    assert fetch(tmp_path, file_of(server, digest=f"md5:{wrong}"), options=("--force",)) == 1
    assert f"must have md5:{wrong}..." in capsys.readouterr().err


def broken_off(server: FileServer, **more: object) -> ServedFile:
    """Each answer but the fourth breaks off after a quarter of the file."""
    return ServedFile(CONTENT, breaks_after=[len(CONTENT) // 4] * 3, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "file",
    [
        {},
        {"etag": None, "last_modified": "Sat, 21 Nov 2026 00:00:00 GMT"},
        {"etag": None},
        {"chunked": True},
    ],
    ids=["etag", "last-modified", "no validator", "chunked"],
)
def test_what_breaks_off_goes_on(
    file: dict[str, object], server: FileServer, tmp_path: Path
) -> None:
    server.files["/m.onnx"] = broken_off(server, **file)
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT
    quarter = len(CONTENT) // 4
    assert [asked for _, asked in server.seen] == [
        None, f"bytes={quarter}-", f"bytes={2 * quarter}-", f"bytes={3 * quarter}-"
    ]  # fmt: skip


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    breaks=st.lists(st.integers(0, 5000), max_size=4),
    etag=st.sampled_from(['"v1"', 'W/"v1"', None]),
    ranges=st.booleans(),
    chunked=st.booleans(),
    stated=st.booleans(),
)
def test_wherever_it_breaks_off_the_bytes_are_right(
    breaks: list[int],
    etag: str | None,
    ranges: bool,
    chunked: bool,
    stated: bool,
    server: FileServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    content = bytes(range(256)) * 20
    server.files["/m.onnx"] = ServedFile(
        content, etag=etag, ranges=ranges, chunked=chunked, breaks_after=breaks
    )
    known = {"digest": f"sha256:{hashlib.sha256(content).hexdigest()}"} if stated else {}
    folder = tmp_path_factory.mktemp("fetch")
    assert fetch(folder, file_of(server, **known)) == 0
    assert (folder / "toy" / "m.onnx").read_bytes() == content
    assert left(folder) == [RECORD, "m.onnx"]


def test_without_a_validator_and_a_digest_it_begins_anew(
    server: FileServer, tmp_path: Path
) -> None:
    """Nothing would tell that the second half is of another file."""
    server.files["/m.onnx"] = ServedFile(CONTENT, etag=None, breaks_after=[HALF])
    assert fetch(tmp_path, file_of(server)) == 0
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT


def test_a_server_that_ignores_ranges(server: FileServer, tmp_path: Path) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT, ranges=False, breaks_after=[HALF])
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT


def test_a_file_that_changes_in_between_begins_anew(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(b"x" * len(CONTENT), breaks_after=[HALF], stalls=True)
    options = ("--attempts", "1", "--timeout", "1")
    assert fetch(tmp_path, file_of(server), options=options) == 1
    assert "the same command goes on from there" in capsys.readouterr().err
    assert left(tmp_path) == ["m.onnx.part", "m.onnx.part.json"]
    server.files["/m.onnx"] = ServedFile(CONTENT, etag='"v2"')
    assert fetch(tmp_path, file_of(server)) == 0
    assert server.seen[-1] == ("/m.onnx", f"bytes={HALF}-")
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT
    assert left(tmp_path) == [RECORD, "m.onnx"]


def test_a_download_that_was_complete_but_not_named(server: FileServer, tmp_path: Path) -> None:
    """The process died between the last byte and the name; the size is not stated."""
    server.files["/m.onnx"] = ServedFile(CONTENT)
    folder = tmp_path / "toy"
    folder.mkdir()
    (folder / "m.onnx.part").write_bytes(CONTENT)
    (folder / "m.onnx.part.json").write_text(
        json.dumps({"url": f"{server.url}/m.onnx", "etag": '"v1"', "last_modified": ""})
    )
    assert fetch(tmp_path, file_of(server)) == 0
    assert server.seen == [("/m.onnx", f"bytes={len(CONTENT)}-")]
    assert left(tmp_path) == [RECORD, "m.onnx"]


def test_a_busy_server_is_asked_again(server: FileServer, tmp_path: Path) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT, busy_answers=3)
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert len(server.seen) == 4


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


def test_a_range_that_is_not_the_one_asked_for(server: FileServer, tmp_path: Path) -> None:
    """The first answer breaks off, the second goes on elsewhere, the third is whole again."""
    server.files["/m.onnx"] = ServedFile(CONTENT, breaks_after=[HALF], wrong_range=True)
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert [asked for _, asked in server.seen] == [None, f"bytes={HALF}-", None]
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT


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


def tar_of(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def archive_of(server: FileServer) -> dict[str, object]:
    return {"path": "m.tar.gz", "url": f"{server.url}/m.tar.gz", "unpack_to": "saved_model"}


def test_an_archive_is_unpacked(server: FileServer, tmp_path: Path) -> None:
    server.files["/m.tar.gz"] = ServedFile(
        tar_of({"saved_model.pb": b"graph", "variables/variables.index": b"index"})
    )
    assert fetch(tmp_path, archive_of(server)) == 0
    assert left(tmp_path) == [RECORD, "saved_model"]
    assert (tmp_path / "toy" / "saved_model" / "saved_model.pb").read_bytes() == b"graph"
    assert fetch(tmp_path, archive_of(server)) == 0
    assert len(server.seen) == 1
    assert fetch(tmp_path, archive_of(server), options=("--force",)) == 0
    assert left(tmp_path) == [RECORD, "saved_model"]
    assert len(server.seen) == 2


def test_an_archive_that_leads_out_is_refused(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.tar.gz"] = ServedFile(tar_of({"../outside": b"x"}))
    assert fetch(tmp_path, archive_of(server)) == 1
    assert "leads out of its folder" in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "toy").exists()
    assert not (tmp_path / "outside").exists()


def test_files_of_others_are_not_replaced(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT)
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "m.onnx").write_bytes(b"mine")
    assert fetch(tmp_path, file_of(server, **STATED)) == 1
    assert "was not fetched by this command" in capsys.readouterr().err
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == b"mine"
    assert fetch(tmp_path, file_of(server, **STATED), options=("--force",)) == 0
    (tmp_path / "toy" / "m.onnx").write_bytes(b"changed")
    capsys.readouterr()
    assert fetch(tmp_path, file_of(server, **STATED)) == 1
    assert "was changed after it was fetched" in capsys.readouterr().err


def test_the_very_file_is_taken_from_whoever_put_it_there(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Downloaded with a browser, or by a fetch that was killed before it could record it."""
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "m.onnx").write_bytes(CONTENT)
    assert fetch(tmp_path, file_of(server, digest=f"sha256:{SHA256[:8]}")) == 1
    assert "was not fetched by this command" in capsys.readouterr().err
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert "was there m.onnx" in capsys.readouterr().err
    assert server.seen == []
    assert left(tmp_path) == [RECORD, "m.onnx"]


def test_a_damaged_record(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / RECORD).write_text("{")
    assert fetch(tmp_path, file_of(server)) == 1
    assert "is damaged" in capsys.readouterr().err.splitlines()[-1]


def test_no_room(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetch(tmp_path, file_of(server, size=1 << 60)) == 1
    assert "has room for" in capsys.readouterr().err.splitlines()[-1]
    assert server.seen == []
    assert not (tmp_path / "toy").exists()


def test_a_disk_that_fills_up(server: FileServer, tmp_path: Path) -> None:
    """The size is not stated, so that nothing could warn; what is there is not thrown away."""
    server.files["/m.onnx"] = ServedFile(CONTENT)
    folder = tmp_path / "disk" / "toy"
    command = [COMMAND, "fetch", "toy", "--registry", registry(tmp_path, file_of(server))]
    small = f"mount -t tmpfs -o size=200k tmpfs {folder.parent}"
    code, err, left = in_a_file_system_of_its_own(tmp_path, small, [*command, "-o", folder])
    assert code == 1
    assert f"{folder} cannot be written: No space left on device" in err.splitlines()[-1]
    assert left == ["toy"]


def test_a_folder_that_cannot_be_made(
    server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = registry(tmp_path, file_of(server))
    target = tmp_path / "nowhere" / "toy"
    assert run(["fetch", "toy", "--registry", str(path), "-o", str(target)]) == 1
    assert "cannot be written: No such file or directory" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "terminate"]
)
def test_an_interrupted_fetch_goes_on(
    number: signal.Signals, code: int, server: FileServer, tmp_path: Path
) -> None:
    server.files["/m.onnx"] = ServedFile(CONTENT, breaks_after=[HALF], stalls=True)
    path, folder = registry(tmp_path, file_of(server)), tmp_path / "toy"
    command = [COMMAND, "fetch", "toy", "--registry", path, "-o", folder]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        part = folder / "m.onnx.part"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not (part.exists() and part.stat().st_size):
            time.sleep(0.01)
        other = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
        child.send_signal(number)
        _, err = child.communicate(timeout=60)
    assert other.returncode == 1
    assert "is being written by another fetch" in other.stderr
    assert child.returncode == code
    assert "Traceback" not in err
    if number == signal.SIGINT:
        assert "labelvino-model: the same command goes on where this one stops" in err
        assert err.endswith("labelvino-model: interrupted\n")
    assert left(tmp_path) == ["m.onnx.part", "m.onnx.part.json"]
    assert fetch(tmp_path, file_of(server)) == 0
    assert re.fullmatch(r"bytes=[1-9]\d*-", server.seen[-1][1] or "")
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT


def test_a_name_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fetch", "mask_rcnn_R_50_FPN"]) == 1
    err = capsys.readouterr().err
    assert "there is no model 'mask_rcnn_R_50_FPN'" in err
    assert "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x" in err
