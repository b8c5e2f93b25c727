"""`labelvino-model fetch` unpacks archives, within their folder."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from fetching import fetch, left, serve_files
from file_server import FileServer, ServedFile

from converter.fetch import RECORD


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    yield from serve_files(monkeypatch)


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
