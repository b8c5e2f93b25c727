"""`labelvino-model fetch`: what is stated, checked, recorded, and left alone."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import openvino as ov
import pytest
from fetching import CONTENT, SHA256, STATED, fetch, file_of, left, registry, serve_files
from file_server import FileServer, ServedFile
from own_disk import in_a_file_system_of_its_own
from toy_sources import od_api_model

from backend.runtime.engine import Engine
from converter.cli import run
from converter.fetch import RECORD

COMMAND = Path(sys.executable).with_name("labelvino-model")


@pytest.fixture(autouse=True)
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    yield from serve_files(monkeypatch)


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


def test_a_name_that_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fetch", "mask_rcnn_R_50_FPN"]) == 1
    err = capsys.readouterr().err
    assert "there is no model 'mask_rcnn_R_50_FPN'" in err
    assert "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_1x" in err
