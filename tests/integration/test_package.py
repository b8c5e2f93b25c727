"""`labelvino-model package` and `labelvino serve --bundle`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backend.demo import MODEL_PATH
from backend.runtime.bundle import open_bundle
from backend.runtime.contract import ir_digest
from converter.cli import run
from converter.labels import read_labels
from tests.serve_process import COMMAND, ENVIRONMENT, ServeProcess


def package(folder: Path, *options: object, model: Path = MODEL_PATH) -> int:
    return run(["package", str(model), "-o", str(folder), *map(str, options)])


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    settings = tmp_path / "settings.toml"
    settings.write_text('score_threshold = 0.3\nprecision = "f32"\n')
    folder = tmp_path / "bundle"
    assert package(folder, "--settings", settings) == 0
    return folder


@contextmanager
def served(folder: Path, *arguments: object, **environment: str) -> Iterator[ServeProcess]:
    server = ServeProcess(("--bundle", folder, *arguments), environment)
    try:
        server.wait_for("Application startup complete")
        yield server
    finally:
        server.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_what_is_in_it(bundle: Path) -> None:
    assert sorted(contents(bundle)) == [
        "LICENSES.md", "README.md", "facts.json", "labels.txt", "manifest.json", "model.bin",
        "model.xml", "self-test/expected.json", "self-test/picture.jpg", "settings.toml",
    ]  # fmt: skip
    assert ir_digest(bundle / "model.xml") == ir_digest(MODEL_PATH)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["ir_digest"] == ir_digest(MODEL_PATH)
    facts = json.loads((bundle / "facts.json").read_text())
    labels = read_labels(str(bundle / "labels.txt"))
    assert [[x.id, x.name] for x in labels] == [[x["id"], x["name"]] for x in facts["labels"]]
    expected = json.loads((bundle / "self-test" / "expected.json").read_text())
    assert expected["seen"]
    assert "not stated" in (bundle / "LICENSES.md").read_text()


def test_the_same_again_is_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert package(again, "--settings", bundle / "settings.toml") == 0
    assert contents(again) == contents(bundle)


def test_no_path_of_this_machine_is_in_it(bundle: Path, tmp_path: Path) -> None:
    for name, data in contents(bundle).items():
        assert str(tmp_path).encode() not in data, name
        assert str(MODEL_PATH.parent).encode() not in data, name


def test_licences(tmp_path: Path) -> None:
    text = tmp_path / "MODEL-LICENSE"
    text.write_text("Some terms")
    assert package(tmp_path / "b", "--license", text) == 0
    assert (tmp_path / "b" / "licenses" / "MODEL-LICENSE").read_text() == "Some terms"
    assert "MODEL-LICENSE" in (tmp_path / "b" / "LICENSES.md").read_text()
    open_bundle(tmp_path / "b")
    assert package(tmp_path / "c", "--license", tmp_path / "gone") == 1
    assert not (tmp_path / "c").exists()


def test_it_replaces_a_package_alone_and_only_if_asked(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert package(bundle) == 1
    assert "(--force)" in capsys.readouterr().err
    (bundle / "old").touch()
    assert package(bundle, "--force") == 0
    assert not (bundle / "old").exists()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "photo").touch()
    assert package(precious, "--force") == 1
    assert "is no package" in capsys.readouterr().err
    assert (precious / "photo").exists()
    assert package(tmp_path / "no" / "where") == 1
    assert "make it first" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bundle", "precious", "settings.toml"]


def test_settings_that_belong_to_a_place_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = tmp_path / "s.toml"
    settings.write_text("port = 80\n")
    assert package(tmp_path / "b", "--settings", settings) == 1
    assert "carries no setting 'port'" in capsys.readouterr().err


def printed_settings(bundle: Path, *arguments: str, **environment: str) -> str:
    command = [*COMMAND, "serve", "--bundle", bundle, "--print-settings", *arguments]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env=ENVIRONMENT | environment
    )
    return done.stdout


def test_its_settings_come_after_all_others(bundle: Path, tmp_path: Path) -> None:
    assert f"score_threshold = 0.3  # package {bundle}" in printed_settings(bundle)
    said = printed_settings(bundle, LABELVINO_SCORE_THRESHOLD="0.6")
    assert "score_threshold = 0.6  # environment variable" in said
    assert f'precision = "f32"  # package {bundle}' in said
    said = printed_settings(bundle, "--score-threshold", "0.7", LABELVINO_SCORE_THRESHOLD="0.6")
    assert "score_threshold = 0.7  # command line" in said
    config = tmp_path / "config.toml"
    config.write_text("score_threshold = 0.2\n")
    said = printed_settings(bundle, "--config", str(config), LABELVINO_MODEL="other.xml")
    assert f"score_threshold = 0.2  # file {config}" in said
    assert f'model = "{bundle / "model.xml"}"  # package {bundle}' in said


def test_it_is_served(bundle: Path) -> None:
    with served(bundle) as server:
        health = server.client.get("/health").json()
        assert health["status"] == "UP"
        assert f"manifest {open_bundle(bundle).digest}" in server.log
        assert " in f32" in server.log


@pytest.mark.parametrize("damage", ["changed", "missing", "extra"])
def test_damage_is_one_clear_line(bundle: Path, damage: str) -> None:
    weights = bundle / "model.bin"
    if damage == "changed":
        data = weights.read_bytes()
        weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "missing":
        weights.unlink()
    else:
        (bundle / "extra.xml").touch()
    command = [*COMMAND, "serve", "--bundle", bundle, "--port", "0"]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    name = "extra.xml" if damage == "extra" else "model.bin"
    assert f"is not what its manifest says ({damage}: {name})" in line


def test_a_bad_value_says_where_it_stands(bundle: Path, tmp_path: Path) -> None:
    settings = tmp_path / "bad.toml"
    settings.write_text('precision = "int3"\n')
    assert package(bundle, "--settings", settings, "--force") == 0
    command = [*COMMAND, "serve", "--bundle", bundle]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )
    assert done.returncode == 1
    assert f"setting precision (package {bundle})" in done.stderr


def test_a_package_or_a_model(bundle: Path) -> None:
    command = [*COMMAND, "serve", "--bundle", bundle, "--model", MODEL_PATH]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=60
    )
    assert done.returncode == 1
    assert "use --bundle or --model, not both" in done.stderr


def test_a_model_that_changed_while_served_is_not_loaded(bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.bin"
    shutil.copyfile(bundle / "model.bin", other)
    with served(bundle) as server:
        with other.open("r+b") as file:
            file.write(b"\0\0\0\0")
        other.replace(bundle / "model.bin")
        server.wait_for("changed: model.bin")
        assert server.client.get("/health").json()["status"] == "UP"
