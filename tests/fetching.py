"""`labelvino-model fetch` of one toy model from a server of this machine."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from file_server import FileServer

from converter.cli import run

CONTENT = bytes(range(256)) * 4000  # 1 MB
HALF = len(CONTENT) // 2
SHA256 = hashlib.sha256(CONTENT).hexdigest()
STATED = {"size": len(CONTENT), "digest": f"sha256:{SHA256}"}


def serve_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A server; no pause between attempts, and no proxy or registry of the machine."""
    monkeypatch.setattr("converter.download.sleep", lambda _seconds: None)
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("SSL_CERT", "LABELVINO")):
            monkeypatch.delenv(name)
    with FileServer.running() as running:
        yield running


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
