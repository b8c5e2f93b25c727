"""`labelvino-model list`: what the code knows, not what somebody wrote down beside it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from converter.cli import run
from converter.contracts import FAMILY_NAMES
from converter.model_registry import read_registry


def test_everything_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert err == ""
    assert [line.strip() for line in lines if line.strip() in FAMILY_NAMES] == list(FAMILY_NAMES)
    for name, entry in read_registry().items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.split()[1:3] == [entry.gives, entry.labels]
    (line,) = [line for line in lines if "security-0002 " in line]
    assert line.split()[1:] == ["masks", "coco80", "90", "MB", "fit:1024x768"]


def test_for_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        '[models.mine]\n[[models.mine.files]]\npath = "m.onnx"\nurl = "https://models.test/m.onnx"'
    )
    assert run(["list", "--json", "--registry", str(own)]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert tuple(listed["families"]) == FAMILY_NAMES
    for about in listed["families"].values():
        assert all(about[key] for key in ("gives", "classes", "image"))
    *shipped, mine = listed["models"]
    assert len(shipped) == len(read_registry())
    assert (mine["name"], mine["size"]) == ("mine", None)
    assert mine["files"][0]["url"] == "https://models.test/m.onnx"


def test_a_registry_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "--registry", "nothing.toml"]) == 1
    assert "the model registry nothing.toml cannot be read" in capsys.readouterr().err


def test_an_unknown_family_names_those_that_are_known(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["convert", "x.onnx", "-o", "m.xml", "--family", "nonsense"]) == 2
    assert f"'nonsense' is none of {', '.join(FAMILY_NAMES)}." in capsys.readouterr().err
