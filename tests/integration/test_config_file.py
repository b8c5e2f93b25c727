"""A settings file with the commands of `labelvino`, as processes."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest
from PIL import Image

from tests.serve_process import COMMAND, ENVIRONMENT, serving
from tests.toy_model import save_toy_model


def labelvino(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False,
        env=ENVIRONMENT | environment,
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Names a model that finds two instances, one of them below its own threshold."""
    instances = [((10.0, 10.0, 30.0, 30.0), 0.9, 0), ((40.0, 10.0, 60.0, 30.0), 0.3, 1)]
    model = save_toy_model(tmp_path / "toy.xml", instances)
    path = tmp_path / "labelvino.toml"
    path.write_text(f"model = {json.dumps(str(model))}\nscore_threshold = 0.2\n")
    return path


def test_print_settings(config: Path) -> None:
    done = labelvino(
        "serve", "--print-settings", "--config", config, "--device", "CPU",
        LOG_LEVEL="debug", BASIC_AUTH_USER="me", BASIC_AUTH_PASS="geheim",
        LABELVINO_REDIS_URL="redis://:geheim@redis/0", LABELVINO_PROXY="http://p:geheim@proxy:1",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "geheim" not in done.stdout
    values = tomllib.loads(done.stdout)
    assert (values["score_threshold"], values["device"]) == (0.2, "CPU")
    assert f"score_threshold = 0.2  # file {config}" in done.stdout
    assert 'log_level = "DEBUG"  # environment variable LOG_LEVEL' in done.stdout
    assert '# basic_auth_pass = "***"  # environment variable BASIC_AUTH_PASS' in done.stdout
    assert "port = 9090  # default" in done.stdout


def test_print_settings_loads_no_model() -> None:
    done = labelvino("serve", "--print-settings", "--model", "none.xml")
    assert (done.returncode, done.stderr) == (0, "")
    assert 'model = "none.xml"  # command line' in done.stdout


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "--port", "0"),
        ("serve", "--print-settings"),
        ("predict", "PHOTO", "--out", "OUT"),
        ("doctor",),
        ("label-config",),
        ("connect", "--url", "http://x", "--project", "1"),
    ],
)
def test_every_command_reads_the_file(command: tuple[str, ...], tmp_path: Path) -> None:
    bad, photo = tmp_path / "bad.toml", tmp_path / "a.png"
    bad.write_text("prot = 1\n")
    photo.write_bytes(b"")
    arguments = [str(photo) if word == "PHOTO" else word for word in command]
    given = labelvino(*arguments, "--config", bad)
    named = labelvino(*arguments, LABELVINO_CONFIG=str(bad))
    for done in (given, named):
        assert done.returncode == 1
        assert "has a key 'prot', which is no setting: did you mean 'port'?" in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_predict_with_a_file(config: Path, tmp_path: Path) -> None:
    photo = tmp_path / "a.png"
    Image.new("RGB", (100, 50), "grey").save(photo)
    done = labelvino("predict", photo, "--out", tmp_path / "o", "--json", "--config", config)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["detections"] == 2
    strict = labelvino(
        "predict", photo, "--out", tmp_path / "p", "--json", "--config", config,
        LABELVINO_SCORE_THRESHOLD="0.5",
    )  # fmt: skip
    assert json.loads(strict.stdout)["detections"] == 1


def test_a_secret_that_everyone_can_read_is_told(config: Path, tmp_path: Path) -> None:
    config.write_text(config.read_text() + "label_studio_api_key = 'geheim'\n")
    config.chmod(0o644)
    done = labelvino("label-config", "--config", config)
    assert done.returncode == 0
    assert "can read label_studio_api_key" in done.stderr and "chmod 600" in done.stderr
    assert "geheim" not in done.stderr + done.stdout


def test_the_examples_folder_of_models(config: Path) -> None:
    """MODEL_DIR alone, with WORKERS and THREADS, as in Label Studio's compose files."""
    folder = config.parent
    with serving(
        Path("toy.xml"), MODEL_DIR=str(folder), WORKERS="2", THREADS="3", LOG_LEVEL="INFO"
    ) as server:
        assert f"{folder / 'toy.xml'} is looked at every 2 s" in server.log
    done = labelvino("serve", "--port", "0", MODEL_ROOT=str(folder / "none"))
    assert done.returncode == 1
    assert f"there is no folder {folder / 'none'} to find one in" in done.stderr
