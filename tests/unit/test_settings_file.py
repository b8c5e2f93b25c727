"""Settings from a file, what goes before what, and what --print-settings shows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from backend.runtime.errors import SettingsError
from backend.settings import CONFIG_VARIABLE, Settings, load_settings, model_path
from backend.settings_report import settings_toml

pytestmark = pytest.mark.usefixtures("no_environment")


def config(folder: Path, text: str, mode: int = 0o600) -> Path:
    path = folder / "labelvino.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_an_empty_file(tmp_path: Path) -> None:
    assert load_settings(config(tmp_path, "")) == load_settings()


def test_values_of_every_kind(tmp_path: Path) -> None:
    text = 'model = "m.xml"\nport = 8000\nwatch_model = false\nallowed_hosts = ["a:1", "b"]\n'
    settings = load_settings(config(tmp_path, text + 'label_studio_api_key = "hush"'))
    assert (settings.model, settings.port, settings.watch_model) == (Path("m.xml"), 8000, False)
    assert settings.allowed_hosts == ("a:1", "b")
    assert settings.label_studio_api_key is not None
    assert settings.label_studio_api_key.get_secret_value() == "hush"


@pytest.mark.parametrize("variable", ["PORT", "LABELVINO_PORT"])
def test_command_line_environment_file_default(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_settings().origin("port") == "default"
    monkeypatch.setenv(CONFIG_VARIABLE, str(config(tmp_path, "port = 1001")))
    assert load_settings().port == 1001
    assert load_settings().origin("port") == f"file {tmp_path / 'labelvino.toml'}"
    monkeypatch.setenv(variable, "1002")
    assert load_settings().port == 1002
    assert load_settings().origin("port") == f"environment variable {variable}"
    assert load_settings(port=1003).port == 1003
    assert load_settings(port=1003).origin("port") == "command line"


def test_the_option_goes_before_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "none.toml"))
    assert load_settings(config(tmp_path, "port = 1001")).port == 1001


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("prot = 1", "a key 'prot', which is no setting: did you mean 'port'"),
        ("LABELVINO_PORT = 1", "did you mean 'port'"),
        ("LABEL_STUDIO_HOST = 'x'", "did you mean 'label_studio_url'"),
        ("[server]\nport = 1", "a key 'server'"),
        ("port = ", "is not TOML"),
        ("port = 'hush'", r"setting port \(file .*labelvino.toml\): "),
        ("device = 5", "setting device"),
        ("port = 70000", "setting port"),
        ("basic_auth_user = 'only'", "needs both"),
        ("workers = 64\nprocesses = 2", "WORKERS times THREADS is 128"),
    ],
)
def test_nonsense_is_refused(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=says) as caught:
        load_settings(config(tmp_path, text))
    assert "hush" not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no settings file"):
        load_settings(tmp_path / "none.toml")
    (tmp_path / "latin.toml").write_bytes(b'proxy = "\xff"')
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(tmp_path / "latin.toml")


@pytest.mark.parametrize(
    ("text", "mode", "names"),
    [
        ("port = 1", 0o644, ()),
        ("webhook_secret = 'hush'", 0o600, ()),
        ("webhook_secret = 'hush'", 0o640, ()),
        ("webhook_secret = 'hush'", 0o644, ("webhook_secret",)),
        ("proxy = 'http://u:hush@proxy:3128'", 0o604, ("proxy",)),
        ("proxy = 'http://proxy:3128'", 0o644, ()),
    ],
)
def test_secrets_that_others_can_read(
    text: str, mode: int, names: tuple[str, ...], tmp_path: Path
) -> None:
    notes = load_settings(config(tmp_path, text, mode)).notes
    assert len(notes) == len(names)
    assert all(
        name in note and "chmod 600" in note for name, note in zip(names, notes, strict=True)
    )
    assert "hush" not in "".join(notes)


def test_print_settings_can_be_fed_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADS", "7")
    monkeypatch.setenv("LABELVINO_ALLOWED_HOSTS", 'a "b",ü\x7f')
    settings = load_settings(
        config(tmp_path, "score_threshold = 0.00001"), model=Path('a "q" \\ b.xml'), device="CPU"
    )
    text = settings_toml(settings)
    assert "workers = 7  # environment variable THREADS" in text
    assert 'device = "CPU"  # command line' in text
    assert "port = 9090  # default" in text
    assert "# proxy is not set" in text
    assert f"score_threshold = 1e-05  # file {tmp_path / 'labelvino.toml'}" in text
    monkeypatch.delenv("THREADS")
    monkeypatch.delenv("LABELVINO_ALLOWED_HOSTS")
    again = load_settings(config(tmp_path, text))
    assert again.model_dump() == settings.model_dump()


def test_print_settings_masks_secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secrets = {
        "label_studio_api_key": "hush1", "basic_auth_pass": "hush2", "webhook_secret": "hush3",
        "proxy": "http://me:hush4@proxy:3128", "label_studio_url": "http://h/?token=hush5",
        "basic_auth_user": "u",
    }  # fmt: skip
    text = settings_toml(load_settings(**secrets))
    assert "hush" not in text
    assert '# label_studio_api_key = "***"  # command line' in text
    assert '# proxy = "http://***@proxy:3128"  # command line' in text
    kept = set(tomllib.loads(text))
    assert kept & set(secrets) == {"basic_auth_user"}
    every = {line.removeprefix("# ").split()[0] for line in text.splitlines()[2:]}
    assert every == set(Settings.model_fields)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")


def test_a_model_in_the_folder_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, data = tmp_path / "root", tmp_path / "data"
    touch(root / "a.xml", data / "b.xml", tmp_path / "here.xml")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODEL_DIR", str(data))
    assert model_path(load_settings()) == data / "b.xml"
    assert model_path(load_settings(model=Path("b.xml"))) == data / "b.xml"
    assert model_path(load_settings(model=Path("here.xml"))) == Path("here.xml")
    assert model_path(load_settings(model=root / "a.xml")) == root / "a.xml"
    monkeypatch.setenv("MODEL_ROOT", str(root))
    assert model_path(load_settings()) == root / "a.xml"
    assert model_path(load_settings(model=tmp_path / "data")) == data / "b.xml"


def test_a_folder_without_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        model_path(load_settings(model_dir=tmp_path / "none"))
    with pytest.raises(SettingsError, match="there is no model"):
        model_path(load_settings(model_dir=tmp_path))
    touch(tmp_path / "a.xml", tmp_path / "b.xml")
    with pytest.raises(SettingsError, match=r"has 2 models \(a.xml, b.xml\): name one"):
        model_path(load_settings(model=tmp_path))


def test_workers_of_the_examples_multiply(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().tasks_at_once == 4
    monkeypatch.setenv("WORKERS", "2")
    assert load_settings().tasks_at_once == 8
    monkeypatch.setenv("THREADS", "8")
    assert load_settings().tasks_at_once == 16
