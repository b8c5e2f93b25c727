"""Predictions for new thresholds, and the older ones removed when that is safe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from bulk_parts import bulk_job, run_job, settings_for, stand_in, toy
from redis_server import RedisServer
from stand_in_studio import StandInStudio, running

from backend.bulk.prelabel import Prelabelling
from backend.bulk.rethreshold import (
    Kept,
    RethresholdWishes,
    older_versions,
    remove_older,
    run_rethreshold,
)
from backend.bulk.selection import Selection
from backend.runtime.errors import LabelStudioError

WISHES = RethresholdWishes("1", None, dry_run=False, as_json=True)


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(stand_in()) as found:
        yield found


@contextmanager
def at_threshold(studio: StandInStudio, folder: Path, threshold: float) -> Iterator[Prelabelling]:
    with bulk_job(studio, folder, score_threshold=threshold) as job:
        start = job.predictor.planner.version_start
    selection = Selection(version_start=start)
    with bulk_job(studio, folder, selection, score_threshold=threshold) as job:
        yield job


def test_a_project_without_predictions_of_the_model(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    studio.add_prediction(1, "another-12345678-123456")
    with (
        at_threshold(studio, tmp_path, 0.5) as job,
        pytest.raises(LabelStudioError, match="labelvino prelabel"),
    ):
        older_versions(job)


def test_only_tasks_of_this_model_and_the_old_ones_go_last(
    studio: StandInStudio, tmp_path: Path
) -> None:
    studio.add_tasks(4)
    with bulk_job(studio, tmp_path, Selection(task_ids=(1, 2, 3)), score_threshold=0.5) as job:
        run_job(job)
        old = job.model_version
    studio.add_prediction(1, "another")
    fewest: list[int] = []
    studio.before = lambda _m, _p: fewest.append(min(len(studio.versions(i)) for i in (1, 2, 3)))
    with at_threshold(studio, tmp_path, 0.85) as job:
        older = older_versions(job)
        assert older == [old] != [job.model_version]
        tally = run_job(job)
        assert tally.done == 3 and tally.labels == {"person": 3}
        assert remove_older(job, older) == []
        assert older_versions(job) == []
        assert run_job(job).tasks == 0  # and again is nothing
        new = job.model_version
    assert studio.versions(1) == ["another", new] and studio.versions(2) == [new]
    assert studio.versions(4) == []
    assert min(fewest) >= 1
    assert studio.project["model_version"] == new


def test_old_ones_stay_until_all_is_done(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path, score_threshold=0.5) as job:
        run_job(job)
        old = job.model_version
    studio.fail("GET", "/data/upload/1/2.png", 404)
    with at_threshold(studio, tmp_path, 0.85) as job:
        older = older_versions(job)
        assert list(run_job(job).failed) == [2]
        assert remove_older(job, older) == [Kept(old, 1)]
        assert studio.versions(2) == [old]
        assert len(studio.predictions) == 5
        assert run_job(job).done == 1  # the second run completes it
        assert remove_older(job, older) == []
        assert len(studio.predictions) == 3


def test_the_command_takes_from_redis(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    redis = RedisServer(tmp_path)
    try:
        studio.add_tasks(3)
        model = toy(tmp_path)
        with bulk_job(studio, tmp_path, score_threshold=0.5) as job:
            run_job(job)  # without a cache
        settings = settings_for(studio, model, score_threshold=0.85, redis_url=redis.url)
        run_rethreshold(settings, WISHES)
        first = capsys.readouterr().out
        assert '"done": 3' in first and '"images_from_cache": 2' in first  # one image for all
        again = settings_for(studio, model, score_threshold=0.4, redis_url=redis.url)
        run_rethreshold(again, WISHES)
        assert '"images_from_cache": 3' in capsys.readouterr().out
        assert len(studio.predictions) == 3
    finally:
        redis.kill()


def test_a_dry_run_changes_nothing(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.add_tasks(2)
    with bulk_job(studio, tmp_path, score_threshold=0.5) as job:
        run_job(job)
        old = job.model_version
    before = dict(studio.predictions)
    wishes = RethresholdWishes("1", None, dry_run=True, as_json=False)
    run_rethreshold(settings_for(studio, toy(tmp_path), score_threshold=0.85), wishes)
    said = capsys.readouterr().err
    assert "would make 2 predictions" in said and old in said
    assert studio.predictions == before


def test_exit_code_1_where_something_failed(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    with bulk_job(studio, tmp_path, score_threshold=0.5) as job:
        run_job(job)
    studio.fail("GET", "/data/upload/1/2.png", 404)
    with pytest.raises(SystemExit) as ended:
        run_rethreshold(settings_for(studio, toy(tmp_path), score_threshold=0.85), WISHES)
    assert ended.value.code == 1 and len(studio.predictions) == 3
