"""`labelvino tune` with a stand-in Label Studio and a toy model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from stand_in_studio import StandInStudio, running
from tuning_site import CONFIG, UID, corrected, site_settings, toy

from backend.bulk.chunk import ChunkOptions
from backend.bulk.order import Order
from backend.bulk.selection import Selection
from backend.cli import cli
from backend.corrections.tuning.command import TuneWishes, run_tune
from backend.corrections.tuning.project_tuning import ChangedError
from backend.runtime.engine import load_contract, model_digest
from backend.runtime.errors import LabelStudioError, SettingsError
from backend.settings import Settings
from backend.tuned.access import open_tuned_store, thresholds_of
from backend.tuned.record import TunedRecord


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(corrected()) as studio:
        yield studio


def wishes(**given: Any) -> TuneWishes:
    return TuneWishes(
        **{"project": "1", "apply": False, "reset": False, "seed": 0, "as_json": True, **given}
    )


def tuned(settings: Settings, capsys: pytest.CaptureFixture[str], **given: Any) -> dict[str, Any]:
    run_tune(settings, wishes(**given))
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def stored(settings: Settings) -> dict[str, float]:
    """Of the only record there is; empty where there is none."""
    records = list(open_tuned_store(settings).projects().values())
    assert len(records) <= 1
    found: dict[str, float] = json.loads(records[0])["thresholds"] if records else {}
    return found


def test_no_corrected_task(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.annotations.clear()
    settings = site_settings(studio, tmp_path)
    found = tuned(settings, capsys, apply=True)
    assert (found["tasks"], found["proposed"], found["applied"]) == (0, False, False)
    assert "Too few corrected tasks: 0, and 20 are needed" in found["verdict"]
    assert stored(settings) == {}


def test_the_known_best_is_found_stored_and_removed(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = site_settings(studio, tmp_path)
    found = tuned(settings, capsys)
    new = found["thresholds"]
    assert new["person"] <= 0.3 < 0.7 < new["car"]
    assert found["loss_before"] == pytest.approx(35.0)  # a car to delete, a person to draw
    assert found["effect"]["middle"] == pytest.approx(35.0)
    assert (found["proposed"], found["applied"], stored(settings)) == (True, False, {})

    assert tuned(settings, capsys, apply=True)["applied"] is True
    assert stored(settings) == pytest.approx(new)
    again = tuned(settings, capsys, apply=True)
    assert (again["proposed"], again["loss_before"]) == (False, 0.0)
    assert again["model_version"] != found["model_version"]
    assert stored(settings) == pytest.approx(new)

    run_tune(settings, wishes(reset=True))
    assert json.loads(capsys.readouterr().out)["removed"] is True
    assert stored(settings) == {}
    run_tune(settings, wishes(reset=True))
    assert json.loads(capsys.readouterr().out)["removed"] is False


def test_on_a_terminal(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_tune(site_settings(studio, tmp_path), wishes(as_json=False))
    told = capsys.readouterr()
    assert "Project 1 'stand-in': 80 corrected tasks." in told.out
    assert "New thresholds for 2 labels; tasks not looked at gain 35.0 s a task" in told.out
    assert "nothing is stored; --apply puts them in force" in told.err


def stored_by_others(studio: StandInStudio, settings: Settings) -> bytes:
    """A record that somebody else stores while the annotations are read."""
    model = settings.model
    assert model is not None
    digest = model_digest(model, load_contract(model))
    theirs = TunedRecord(UID, digest, {"car": 0.61}, 50, "f1", "2026-11-21T08:00:00+00:00")
    data = theirs.to_bytes()

    def before(_method: str, path: str) -> None:
        if path.startswith("/data/"):  # the first image, long after the start
            open_tuned_store(settings).put(UID, digest, data)

    studio.before = before
    return data


def test_the_one_who_stores_later_changes_nothing(studio: StandInStudio, tmp_path: Path) -> None:
    settings = site_settings(studio, tmp_path)
    theirs = stored_by_others(studio, settings)
    with pytest.raises(ChangedError, match="changed by somebody else meanwhile: nothing is stored"):
        run_tune(settings, wishes(apply=True))
    assert list(open_tuned_store(settings).projects().values()) == [theirs]


def test_the_tasks_that_were_added_last(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("1.png", "60.png", "80.png"):
        studio.images[name] = b"no image"
    studio.annotations.pop(70)
    found = tuned(site_settings(studio, tmp_path, tune_tasks=20), capsys)
    assert (found["tasks"], found["not_looked_at"]) == (18, 59)
    assert sorted(found["left_out"]) == ["60", "80"]  # 60 is the 20th from the end
    found = tuned(site_settings(studio, tmp_path, tune_tasks=79), capsys)
    assert (found["tasks"], found["not_looked_at"]) == (76, 0)
    run_tune(site_settings(studio, tmp_path, tune_tasks=78), wishes(as_json=False))
    assert "1 older corrected tasks were not looked at" in capsys.readouterr().out


def test_what_the_label_config_sets_is_left_alone(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.project["label_config"] = studio.project["label_config"].replace(
        '<Label value="car"/>', '<Label value="car" model_score_threshold="0.6"/>'
    )
    found = tuned(site_settings(studio, tmp_path), capsys)
    assert found["fixed"] == ["car"]
    assert list(found["thresholds"]) == ["person"]


def test_tasks_that_say_nothing_are_left_out(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.images["1.png"] = b"no image"
    studio.annotations[2][0]["result"][0]["original_width"] = 50
    studio.annotations[3][0]["result"][0]["image_rotation"] = 90
    studio.annotations[4][0]["was_cancelled"] = True
    found = tuned(site_settings(studio, tmp_path), capsys)
    assert found["tasks"] == 76
    assert sorted(found["left_out"]) == ["1", "2", "3"]
    assert "not an image" in found["left_out"]["1"]
    assert "100x60 pixels, and the annotation was made on 50x60" in found["left_out"]["2"]
    assert "turned" in found["left_out"]["3"]


def test_label_studio_that_goes_away(studio: StandInStudio, tmp_path: Path) -> None:
    studio.fail("GET", "/api/tasks", 500, times=100)
    with pytest.raises(LabelStudioError):
        run_tune(site_settings(studio, tmp_path), wishes())


def test_thresholds_of_the_command_that_predicts(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = site_settings(studio, tmp_path)
    tuned(settings, capsys, apply=True)
    digest = json.loads(next(iter(open_tuned_store(settings).projects().values())))["model_digest"]
    found = thresholds_of(settings, UID, digest, ("person", "car", "traffic light"))
    assert sorted(found) == ["car", "person"]
    assert thresholds_of(settings, "1.1", digest, ("person", "car")) == {}


def bulk(studio: StandInStudio, settings: Settings, *arguments: str) -> str:
    """A bulk command; the model version that it tells."""
    given = [
        *arguments, "--project", "1", "--model", settings.model, "--device", "CPU",
        "--label-studio-url", studio.url, "--json",
    ]  # fmt: skip
    done = CliRunner().invoke(cli, list(map(str, given)), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return str(json.loads(done.stdout)["model_version"])


def test_bulk_commands_use_the_tuned_thresholds(
    studio: StandInStudio,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    monkeypatch.setenv("LABELVINO_STATE_DIR", str(tmp_path / "state"))
    settings = site_settings(studio, tmp_path)
    before = bulk(studio, settings, "prelabel")
    old = {labels_of(row) for row in studio.predictions.values()}
    tuned(settings, capsys, apply=True)
    after = bulk(studio, settings, "rethreshold")
    assert before != after
    assert {row["model_version"] for row in studio.predictions.values()} == {after}
    assert len(studio.predictions) == 80
    assert (old, {labels_of(row) for row in studio.predictions.values()}) == ({"car"}, {"person"})
    assert bulk(studio, settings, "prelabel") == after
    assert len(studio.predictions) == 80


def labels_of(prediction: dict[str, Any]) -> str:
    return " ".join(region["value"]["rectanglelabels"][0] for region in prediction["result"])


def test_a_queue_s_jobs_carry_the_tuned_thresholds() -> None:
    """So that a worker on another machine needs no state of its own."""
    chunk = ChunkOptions(Selection())
    order = Order(1, "p", "toy-1-2", "c", "{}", chunk, tuned=(("person", 0.3),))
    assert Order.from_json(json.loads(json.dumps(order.to_json()))) == order


def test_options_that_go_not_together() -> None:
    done = CliRunner().invoke(cli, ["tune", "--project", "1", "--apply", "--reset"])
    assert done.exit_code == 2
    assert "--apply and --reset" in done.output


@pytest.mark.parametrize("option", ["--draw-s", "--delete-s", "--reshape-s", "--reshape-below"])
@pytest.mark.parametrize("value", ["inf", "nan"])
def test_costs_that_are_no_numbers(option: str, value: str) -> None:
    wanted = ["tune", "--project", "1", "--model", "x.xml", option, value]
    done = CliRunner().invoke(cli, wanted)
    told = done.output + str(done.exception)
    assert isinstance(done.exception, SystemExit | SettingsError), told
    assert option.strip("-").split("-")[0] in told.lower()
    assert "finite" in told or "range" in told


@pytest.mark.parametrize("name", ["door [open]", "car [/x]", "[red]"])
def test_names_of_labels_are_shown_as_they_are(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    toy(tmp_path, name)
    studio.project["label_config"] = CONFIG.replace('"person"', f'"{name}"')
    for rows in studio.annotations.values():
        rows[0]["result"][0]["value"]["rectanglelabels"] = [name]
    run_tune(site_settings(studio, tmp_path), wishes(as_json=False))
    assert f"\n{name} " in capsys.readouterr().out
