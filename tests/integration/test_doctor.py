"""`labelvino doctor`: each line is ok, a problem with its remedy, or said not to be checked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openvino import save_model

from backend.cli import cli
from backend.runtime.engine import Engine, read_ir
from backend.runtime.self_test import SelfTest
from backend.settings import environment_names
from tests.drawn_scene import draw_scene
from tests.toy_model import save_toy_model

INSTANCES = [((10.0, 10.0, 30.0, 30.0), 0.9, 0)]


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in environment_names().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)


def doctor(*arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code, and the findings by what was checked."""
    done = CliRunner().invoke(cli, ["doctor", "--json", *arguments])
    return done.exit_code, {found["check"]: found for found in json.loads(done.stdout)}


def model_with_self_test(folder: Path, seen_by: Path) -> Path:
    """A toy model whose self-test another model has recorded."""
    model = read_ir(save_toy_model(folder / "plain.xml", INSTANCES))
    SelfTest.record(Engine(seen_by), draw_scene()).write(model)
    save_model(model, folder / "tested.xml")
    return folder / "tested.xml"


def test_nothing_given() -> None:
    code, found = doctor()
    assert code == 0
    assert found["device"]["status"] == found["disk"]["status"] == "ok"
    for check in ("model", "inference", "label studio", "token", "image"):
        assert found[check]["status"] == "unchecked"


def test_a_sound_model(tmp_path: Path) -> None:
    model = model_with_self_test(tmp_path, save_toy_model(tmp_path / "same.xml", INSTANCES))
    code, found = doctor("--model", str(model))
    assert code == 0
    assert "3 labels, masks (box)" in found["model"]["text"]
    assert found["inference"]["status"] == "ok"
    assert found["self-test"] == {
        "check": "self-test", "status": "ok", "text": "1 clear instances, 0 missing, 0 new",
    }  # fmt: skip


def test_a_device_that_computes_other_things(tmp_path: Path) -> None:
    other = save_toy_model(tmp_path / "other.xml", [((500.0, 500.0, 600.0, 600.0), 0.9, 2)])
    code, found = doctor("--model", str(model_with_self_test(tmp_path, other)))
    assert code == 1
    assert found["self-test"]["status"] == "problem"
    assert "--static" in found["self-test"]["text"]


@pytest.mark.parametrize(
    ("arguments", "check", "remedy"),
    [
        (("--model", "none.xml"), "model", "no model file"),
        (("--model", "MODEL", "--device", "XPU"), "inference", "no device 'XPU'"),
        (("--label-studio-url", "http://127.0.0.1:9"), "label studio", "check"),
    ],
)
def test_a_problem_has_its_remedy(
    arguments: tuple[str, ...], check: str, remedy: str, tmp_path: Path
) -> None:
    model = str(save_toy_model(tmp_path / "m.xml", INSTANCES))
    code, found = doctor(*(model if a == "MODEL" else a for a in arguments))
    assert code == 1
    assert found[check]["status"] == "problem"
    assert remedy in found[check]["text"]


def test_without_json_each_check_is_a_line() -> None:
    done = CliRunner().invoke(cli, ["doctor"])
    assert done.exit_code == 0
    assert any(line.startswith("ok") and "CPU" in line for line in done.stdout.splitlines())
