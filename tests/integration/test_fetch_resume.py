"""`labelvino-model fetch` goes on where it broke off, and the bytes are right."""

from __future__ import annotations

import hashlib
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetching import CONTENT, HALF, STATED, fetch, file_of, left, registry, serve_files
from file_server import FileServer, ServedFile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converter.fetch import RECORD

COMMAND = Path(sys.executable).with_name("labelvino-model")


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    yield from serve_files(monkeypatch)


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


def test_a_range_that_is_not_the_one_asked_for(server: FileServer, tmp_path: Path) -> None:
    """The first answer breaks off, the second goes on elsewhere, the third is whole again."""
    server.files["/m.onnx"] = ServedFile(CONTENT, breaks_after=[HALF], wrong_range=True)
    assert fetch(tmp_path, file_of(server, **STATED)) == 0
    assert [asked for _, asked in server.seen] == [None, f"bytes={HALF}-", None]
    assert (tmp_path / "toy" / "m.onnx").read_bytes() == CONTENT


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
