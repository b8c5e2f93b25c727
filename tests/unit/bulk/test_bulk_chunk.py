"""One chunk of tasks, with a Label Studio that does what a test says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_parts import INSTANCES, bulk_job, quick_patience, run_job, stand_in
from stand_in_studio import StandInStudio, running

from backend.bulk import prediction_store
from backend.bulk.pace import Pace
from backend.bulk.prediction_store import region_labels
from backend.bulk.selection import BLANK_VERSION, Selection
from backend.labelstudio.json_calls import RefusedError, Row, UnreachableError
from backend.runtime.errors import LabelConfigError


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(stand_in()) as found:
        yield found


def test_no_tasks(studio: StandInStudio, tmp_path: Path) -> None:
    with bulk_job(studio, tmp_path) as job:
        assert job.work.predict([]).tasks == 0
        assert job.work.leave_blank([]).tasks == 0
    assert studio.calls("POST", "") == 0


def test_predictions_are_written_counted_and_shown(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
        version = job.model_version
    assert (tally.done, tally.images, tally.tasks) == (3, 3, 3)
    assert tally.labels == {"person": 3, "car": 3}
    assert [studio.versions(i) for i in (1, 2, 3)] == [[version]] * 3
    assert studio.project["model_version"] == version
    assert studio.project["show_collab_predictions"] is True


def test_there_already_and_gone_are_skipped(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path) as job:
        studio.add_prediction(1, job.model_version)
        tally = job.work.predict([1, 2, 3, 99])
    assert (tally.done, tally.skipped) == (2, 2)
    assert [len(studio.versions(i)) for i in (1, 2, 3)] == [1, 1, 1]


def test_asked_twice_is_predicted_once(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    with bulk_job(studio, tmp_path) as job:
        assert job.work.predict([1, 2, 1]).done == 2
        assert job.work.predict([1, 2]).skipped == 2
    assert len(studio.predictions) == 2


def test_written_by_another_meanwhile(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path) as job:

        def before(method: str, path: str) -> None:
            if path.startswith("/data/") and not studio.versions(2):
                studio.add_prediction(2, job.model_version)  # while the images are read

        studio.before = before
        tally = job.work.predict([1, 2, 3])
    assert (tally.done, tally.skipped) == (2, 1)
    assert [len(studio.versions(i)) for i in (1, 2, 3)] == [1, 1, 1]


def test_a_write_that_arrived_without_an_answer_is_not_repeated(
    studio: StandInStudio, tmp_path: Path
) -> None:
    studio.add_tasks(4)
    studio.fail("POST", "import/predictions", 0, done=True)
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
    assert len(studio.predictions) == 4 and studio.calls("POST", "import") == 1
    assert tally.tasks == 4


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503])
def test_what_passes_is_tried_again(studio: StandInStudio, tmp_path: Path, status: int) -> None:
    studio.add_tasks(4)
    studio.fail("POST", "import/predictions", status, times=2)
    studio.fail("GET", "api/tasks", status, times=2)
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
    assert tally.done == 4 and len(studio.predictions) == 4


def test_a_bad_image_costs_its_task_only(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    studio.fail("GET", "/data/upload/1/2.png", 404)
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
    assert tally.done == 2 and list(tally.failed) == [2]
    assert "there is no such image" in tally.failed[2]


@pytest.mark.parametrize("status", [0, 429, 500, 503])
def test_an_image_that_does_not_come_is_tried_again(
    studio: StandInStudio, tmp_path: Path, status: int
) -> None:
    studio.add_tasks(3)
    studio.fail("GET", "/data/upload/1/2.png", status, times=2)
    with bulk_job(studio, tmp_path) as job:
        assert run_job(job).done == 3


def test_an_image_that_never_comes_is_given_up(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    studio.fail("GET", "/data/upload/1/2.png", 503, times=10_000)
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
    assert tally.done == 2 and list(tally.failed) == [2] and "503" in tally.failed[2]
    assert studio.calls("GET", "/data/upload/1/2.png") == 3
    assert studio.calls("GET", "/data/upload/1/1.png") == 1


def test_one_task_that_is_refused_is_found_by_halves(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(9)

    def before(method: str, path: str) -> None:
        if method == "POST":
            studio.tasks.pop(5, None)  # deleted after it was looked at

    studio.before = before
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
    assert tally.done == 8 and list(tally.failed) == [5]
    assert "task ID 5 not found" in tally.failed[5]
    assert len(studio.predictions) == 8


def test_dropped_without_a_word_is_noticed(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(4)
    studio.is_invalid = lambda row: row["task"] in (2, 3)
    with bulk_job(studio, tmp_path) as job:
        tally = run_job(job)
    assert tally.done == 2 and sorted(tally.failed) == [2, 3]
    assert "dropped" in tally.failed[2]


def test_blank_tasks_are_marked_and_left_alone(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(40)
    with bulk_job(studio, tmp_path, Selection(blank_share=0.3)) as job:
        plan = job.make_plan()
        assert 0 < len(plan.blank) < 40
        tally = run_job(job)
        assert tally.blank == len(plan.blank) and tally.done == 40 - tally.blank
        assert [studio.versions(i) for i in plan.blank] == [[BLANK_VERSION]] * tally.blank
        assert run_job(job).tasks == 0
    with bulk_job(studio, tmp_path, Selection(fill_blank=True)) as job:
        assert run_job(job).done == len(plan.blank)


def test_replace_never_leaves_a_task_without(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path) as job:
        old = [studio.add_prediction(i, job.model_version) for i in (1, 1, 2)]
        other = studio.add_prediction(3, "another")
    fewest = []
    studio.before = lambda _m, _p: fewest.append(min(len(studio.versions(i)) for i in (1, 2, 3)))
    with bulk_job(studio, tmp_path, Selection(replace=True)) as job:
        assert run_job(job).done == 3
        version = job.model_version
    assert min(fewest) >= 1
    assert not set(old) & set(studio.predictions) and other in studio.predictions
    assert [studio.versions(i) for i in (1, 2)] == [[version]] * 2
    assert studio.versions(3) == ["another", version]


def test_replace_keeps_the_old_one_where_the_new_one_is_dropped(
    studio: StandInStudio, tmp_path: Path
) -> None:
    studio.add_tasks(2)
    studio.is_invalid = lambda row: row["task"] == 2
    with bulk_job(studio, tmp_path, Selection(replace=True)) as job:
        old = {i: studio.add_prediction(i, job.model_version) for i in (1, 2)}
        tally = run_job(job)
    assert old[1] not in studio.predictions
    assert old[2] in studio.predictions
    assert tally.done == 1 and list(tally.failed) == [2]


def test_doubles_are_swept_and_the_newest_stays(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path) as job:
        run_job(job)
        newest = studio.add_prediction(2, job.model_version)
        studio.add_prediction(3, "another")
        job.finish()
        assert [len(studio.versions(i)) for i in (1, 2, 3)] == [1, 1, 2]
        assert newest in studio.predictions
        asked = len(studio.seen)
        job.finish()  # nothing to do costs a few calls, whatever the number of tasks
        assert len(studio.seen) - asked <= 4


def test_doubles_that_somebody_else_sweeps_too(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    with bulk_job(studio, tmp_path) as job:
        run_job(job)
        studio.add_prediction(2, job.model_version)
        studio.fail("DELETE", "predictions", 404, done=True)
        job.finish()
    assert [len(studio.versions(i)) for i in (1, 2)] == [1, 1]


def test_covered_regions_are_left_out(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    (x1, y1, x2, y2), *_ = INSTANCES[0]
    value: Row = {"x": x1, "y": y1 / 0.6, "width": x2 - x1, "height": (y2 - y1) / 0.6}
    box: Row = {"id": "a", "to_name": "img", "value": value | {"rectanglelabels": ["person"]}}
    box |= {"original_width": 100, "original_height": 60}
    studio.annotations[1] = [{"result": [box]}]
    with bulk_job(studio, tmp_path, covered_share=0.5) as job:
        tally = run_job(job)
    assert tally.labels == {"person": 1, "car": 2}


def test_some_labels_only_are_another_version(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    with bulk_job(studio, tmp_path, labels=("car",)) as job:
        assert run_job(job).labels == {"car": 2}
        some = job.model_version
    with bulk_job(studio, tmp_path) as job:
        assert run_job(job).labels == {"person": 2, "car": 2}
        assert job.model_version != some
    with bulk_job(studio, tmp_path, labels=("car",)) as job:
        assert job.model_version == some and run_job(job).tasks == 0
    with pytest.raises(LabelConfigError, match="no label 'dog': it has car, person"):  # noqa: SIM117
        with bulk_job(studio, tmp_path, labels=("dog",)):
            pass


def test_requests_of_bearable_size(
    studio: StandInStudio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.add_tasks(6)
    monkeypatch.setattr(prediction_store, "_POST_BYTES", 1500)
    with bulk_job(studio, tmp_path) as job:
        assert run_job(job).done == 6
    assert 2 <= studio.calls("POST", "import") <= 6


def test_after_a_stop_tasks_are_left_and_not_failed(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path) as job:
        job.pool.stop()
        tally = job.work.predict([1, 2, 3])
    assert tally.left == 3 and not tally.failed and not studio.predictions


def test_one_that_stays_away_ends_the_job(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(100)
    studio.fail("POST", "import/predictions", 503, times=10_000)
    with (
        bulk_job(studio, tmp_path, patience=quick_patience(give_up_s=0.2)) as job,
        pytest.raises(RefusedError, match="503"),
    ):
        run_job(job)
    assert not studio.predictions


def test_one_that_is_gone_ends_the_job(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(3)
    with bulk_job(studio, tmp_path, patience=quick_patience(give_up_s=0.2)) as job:
        plan = job.make_plan()
        studio.fail("GET", "", 0, times=10_000)
        with pytest.raises(UnreachableError):
            job.run(plan, lambda _tally: None)


def test_many_chunks_many_threads(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(205)
    with bulk_job(studio, tmp_path) as job:
        assert run_job(job).done == 205
    assert sorted(row["task"] for row in studio.predictions.values()) == list(range(1, 206))


def test_the_pace_lets_pass_without_a_rate_and_after_a_stop() -> None:
    stop = threading.Event()
    Pace(None).wait(10_000, stop)
    stop.set()
    pace = Pace(0.001)
    pace.wait(1000, stop)
    pace.wait(1000, stop)  # would take eleven days


def test_the_pace_makes_wait() -> None:
    waits: list[float] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout or 0.0)
            return False

    pace = Pace(10.0)
    for _ in range(3):
        pace.wait(5, Stop())
    assert waits[0] == 0.0 and 0.4 < waits[1] <= 0.5 and 0.9 < waits[2] <= 1.0


def test_labels_are_counted_by_region() -> None:
    assert region_labels([]) == []
    polygon = {"id": "a", "value": {"points": [[1, 2]], "polygonlabels": ["x", "y"]}}
    brush = {"id": "b", "value": {"format": "rle", "rle": [1, 2], "brushlabels": ["x"]}}
    assert sorted(region_labels([polygon, polygon, brush])) == ["x", "x", "y"]
