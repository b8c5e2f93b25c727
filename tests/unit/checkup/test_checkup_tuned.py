"""What `labelvino doctor` says of tuned thresholds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_model import save_toy_model

from backend.checkup.finding import Finding
from backend.checkup.tuned import tuned_finding
from backend.runtime.engine import load_contract, model_digest
from backend.settings import Settings, load_settings
from backend.tuned.access import open_tuned_store
from backend.tuned.record import TunedRecord

PROJECT, OTHER = "7.1795219680", "cd" * 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("m") / "toy.xml", [])


def settings_for(folder: Path, model: Path | None) -> Settings:
    return load_settings(state_dir=folder / "state", model=model)


def put(settings: Settings, digest: str, data: bytes | None = None, **thresholds: float) -> None:
    record = TunedRecord(PROJECT, digest, thresholds, 50, "effort", "2026-11-21T08:00:00+00:00")
    open_tuned_store(settings).put(PROJECT, digest, data or record.to_bytes())


def digest_of(model: Path) -> str:
    return model_digest(model, load_contract(model))


def look(settings: Settings) -> tuple[str, str]:
    found: Finding = tuned_finding(settings)
    return found.status, found.text


def test_nothing_is_tuned(tmp_path: Path, model: Path) -> None:
    status, text = look(settings_for(tmp_path, model))
    assert status == "ok" and "none are tuned" in text
    assert not (tmp_path / "state").exists()


def test_no_place_for_it(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    status, text = look(settings_for(tmp_path, None))
    assert status == "hint" and "LABELVINO_STATE_DIR" in text


@pytest.mark.parametrize(
    ("given", "status", "says"),
    [
        ({"person": 0.3}, "ok", "1 projects are tuned for this model, 0 for other"),
        ({"giraffe": 0.3}, "problem", "no label 'giraffe'"),
        ({"person": 3.0}, "problem", "3 of 'person' is not within 0..1"),
        ({"data": b"{"}, "problem", "it is damaged: run 'labelvino tune'"),
    ],
)
def test_what_is_there(
    tmp_path: Path, model: Path, given: dict[str, Any], status: str, says: str
) -> None:
    settings = settings_for(tmp_path, model)
    put(settings, digest_of(model), **given)
    found = look(settings)
    assert found[0] == status and says in found[1]


def test_of_another_model(tmp_path: Path, model: Path) -> None:
    settings = settings_for(tmp_path, model)
    put(settings, OTHER, person=0.3)
    assert look(settings)[0] == "hint"
    assert look(settings_for(tmp_path, None))[0] == "ok"  # no model is given


def test_a_redis_that_is_away(tmp_path: Path) -> None:
    found = tuned_finding(load_settings(redis_url="redis://127.0.0.1:1"))
    assert found.status == "problem" and "127.0.0.1:1" in found.text
