"""Phases and bars on a terminal, and nothing of them in a log."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from file_server import FileServer, ServedFile
from toy_onnx import onnx_detector

COMMAND = Path(sys.executable).with_name("labelvino-model")
_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(command: list[str | Path]) -> str:
    """What a command that succeeds writes to its terminal, without colours and cursor moves."""
    ours, theirs = pty.openpty()
    # a width, since a new terminal has none
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(command, stderr=theirs, stdout=theirs, env=environment) as child:
        os.close(theirs)
        written = bytearray()
        while True:
            try:
                block = os.read(ours, 1 << 16)
            except OSError:  # Linux says so when the other side is closed
                break
            if not block:
                break
            written += block
    os.close(ours)
    assert child.returncode == 0, written
    return _ESCAPES.sub("", written.decode())


def in_a_log(command: list[str | Path]) -> list[str]:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    return done.stderr.splitlines()


@pytest.fixture
def convert(tmp_path: Path) -> list[str | Path]:
    labels = tmp_path / "labels.txt"
    labels.write_text("hand\nface")
    source = onnx_detector(tmp_path / "m.onnx")
    options = ["--labels", labels, "--resize", "none", "--color-order", "rgb", "--force"]
    return [COMMAND, "convert", source, "-o", tmp_path / "m.xml", *options]


def test_phases_of_a_conversion(convert: list[str | Path]) -> None:
    shown = on_a_terminal(convert)
    phases = [
        "reading the source",
        "converting it",
        "bringing it to the contract",
        "writing the IR",
        "trying the IR",
    ]
    last = shown.rpartition("✓ reading the source")
    rest = last[1] + last[2]
    places = [rest.index(phase) for phase in phases]
    assert places == sorted(places)
    assert len(re.findall(r"✓ .*\d:\d\d:\d\d", rest)) == len(phases)


def test_a_log_has_no_phases(convert: list[str | Path]) -> None:
    lines = in_a_log(convert)
    assert all(line.startswith("labelvino-model: ") for line in lines), lines
    assert "wrote" in lines[-1]


def test_a_download(tmp_path: Path) -> None:
    registry = tmp_path / "models.toml"
    with FileServer.running() as server:
        server.files["/m.onnx"] = ServedFile(bytes(1_000_000))
        registry.write_text(
            f'[models.toy]\n[[models.toy.files]]\npath = "m.onnx"\nurl = "{server.url}/m.onnx"'
        )
        command = [COMMAND, "fetch", "toy", "--registry", registry, "--force", "-o"]
        assert re.search(r"m\.onnx .*1\.0/1\.0 MB", on_a_terminal([*command, tmp_path / "a"]))
        lines = in_a_log([*command, tmp_path / "b"])
    assert "MB/s" not in "".join(lines)
    assert lines[-1].startswith("labelvino-model: fetched m.onnx: 1000000 bytes")
