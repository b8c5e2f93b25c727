"""Settings from the environment, and their documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.runtime.errors import SettingsError
from backend.settings import (
    CONFIG_VARIABLE,
    Settings,
    environment_names,
    load_settings,
    model_path,
)
from tests.conftest import ROOT

pytestmark = pytest.mark.usefixtures("no_environment")


def test_defaults() -> None:
    settings = load_settings()
    assert (settings.host, settings.port, settings.device) == ("127.0.0.1", 9090, "AUTO")
    assert settings.predict_budget_s == 80
    assert settings.allowed_hosts == ()


def test_names_of_label_studios_examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABEL_STUDIO_HOST", "http://ls")
    monkeypatch.setenv("LABEL_STUDIO_ACCESS_TOKEN", "abc")
    monkeypatch.setenv("MODEL_SCORE_THRESHOLD", "0.25")
    monkeypatch.setenv("PORT", "8000")
    settings = load_settings()
    assert settings.label_studio_url == "http://ls"
    assert settings.score_threshold == 0.25
    assert settings.port == 8000


def test_our_own_name_goes_first_and_the_command_line_before_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEVICE", "GPU")
    monkeypatch.setenv("LABELVINO_DEVICE", "NPU")
    assert load_settings().device == "NPU"
    assert load_settings(device="CPU").device == "CPU"
    assert load_settings(device=None).device == "NPU"
    assert load_settings(device="CPU").from_command_line == {"device"}


def test_names_that_are_not_documented_do_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MODEL", "PROXY", "CONTROLS", "model"):
        monkeypatch.setenv(name, "rectangle")
    settings = load_settings()
    assert (settings.model, settings.proxy, settings.controls) == (None, None, "auto")


def test_lists_are_split_at_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELVINO_ALLOWED_HOSTS", "minio:9000, 10.0.0.0/8,")
    assert load_settings().allowed_hosts == ("minio:9000", "10.0.0.0/8")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "99999"),
        ("PORT", "many"),
        ("LABELVINO_PRECISION", "f8"),
        ("LABELVINO_CONTROLS", "some"),
        ("LABELVINO_SCORE_THRESHOLD", "1.5"),
        ("LABELVINO_POLYGON_MAX_POINTS", "3"),
        ("BASIC_AUTH_USER", "only"),
    ],
)
def test_nonsense_is_refused(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert value not in str(caught.value)


def test_an_empty_variable_counts_as_not_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABELVINO_MODEL", "")
    with pytest.raises(SettingsError, match="no model is given"):
        model_path(load_settings())


def test_secrets_do_not_print() -> None:
    settings = load_settings(
        basic_auth_user="u", basic_auth_pass="hush1", webhook_secret="hush2",
        label_studio_api_key="hush3",
    )  # fmt: skip
    assert "hush" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    page = text.partition("\n## Settings\n")[2].partition("\n## ")[0]
    rows = {row.split("|")[1].strip(): row for row in page.splitlines() if row.startswith("| `")}
    names = environment_names()
    wanted = {" ".join(f"`{name}`" for name in variables) for variables in names.values()}
    assert set(rows) == wanted
    for field, variables in names.items():
        row = rows[" ".join(f"`{name}`" for name in variables)]
        _, _, in_file, meaning, default, _ = (cell.strip() for cell in row.split("|"))
        assert in_file == f"`{field}`"
        assert meaning == Settings.model_fields[field].description, field
        value = Settings.model_fields[field].default
        shown = "" if value in (None, ()) else str(value)
        assert default.strip("`") == (shown.lower() if isinstance(value, bool) else shown), field


def test_every_variable_in_the_docs_exists() -> None:
    known = {name for names in environment_names().values() for name in names}
    known |= {
        CONFIG_VARIABLE,
        "LABELVINO_LABEL_STUDIO_BIN",
        "LABELVINO_LABEL_STUDIO_ML_SOURCE",
        "LABELVINO_MODEL_REGISTRY",
        "LABELVINO_SDK_PYTHON",
        "LABELVINO_TENSORFLOW_PYTHON",
    }
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for name in re.findall(r"\bLABELVINO_[A-Z_]+\b", Path(page).read_text()):
            assert name in known, f"{page.name}: {name}"


@pytest.mark.parametrize("value", ["inf", "-inf", "nan", "1e999"])
@pytest.mark.parametrize("name", ["LABELVINO_TUNE_DRAW", "LABELVINO_PREDICT_BUDGET"])
def test_numbers_that_are_none(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        load_settings()
