"""Tasks are worked on while further ones are listed, and listing does not run ahead."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from bulk_parts import bulk_job, quick_patience, stand_in
from stand_in_studio import Fault, StandInStudio, running

from backend.bulk.job import CHUNK, listed_parts
from backend.bulk.prelabel import Prelabelling
from backend.bulk.selection import BLANK_VERSION, Selection, is_blank, listed_ids
from backend.bulk.tally import Tally
from backend.runtime.errors import LabelStudioError


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(stand_in()) as found:
        yield found


def run_listed(job: Prelabelling) -> Tally:
    tally = Tally()
    job.run_listed(tally.add)
    return tally


def listed(job: Prelabelling) -> list[int]:
    selection = job.options.selection
    return list(listed_ids(job.tasks, selection, job.model_version, job.patience))


def test_no_tasks(studio: StandInStudio, tmp_path: Path) -> None:
    assert list(listed_parts([], Selection())) == []
    with bulk_job(studio, tmp_path) as job:
        assert job.count() == 0
        assert run_listed(job).tasks == 0


def test_parts_are_whole_chunks_but_for_the_last() -> None:
    selection = Selection(blank_share=0.3, seed=4)
    ids = list(range(1, 301))
    parts = list(listed_parts(iter(ids), selection))
    for kind in ("predict", "blank"):
        sizes = [len(part) for of_kind, part in parts if of_kind == kind]
        assert all(size == CHUNK for size in sizes[:-1]) and 0 < sizes[-1] <= CHUNK
        found = [i for of_kind, part in parts if of_kind == kind for i in part]
        assert found == [i for i in ids if is_blank(i, selection) == (kind == "blank")]


def test_which_selections_can_be_listed() -> None:
    assert Selection().can_be_listed
    assert Selection(limit=3, blank_share=0.1, only_unlabelled=True, replace=True).can_be_listed
    for wanted in (Selection(view_id=1), Selection(task_ids=()), Selection(sample=3)):
        assert not wanted.can_be_listed


@pytest.mark.parametrize("page", [1, 3, 4, 1000])
@pytest.mark.parametrize("limit", [None, 0, 1, 6, 8, 99])
def test_the_same_tasks_as_a_plan(
    studio: StandInStudio, tmp_path: Path, page: int, limit: int | None
) -> None:
    studio.add_tasks(10)
    studio.largest_page = page
    studio.add_prediction(3, BLANK_VERSION)
    with bulk_job(studio, tmp_path, Selection(limit=limit)) as job:
        studio.add_prediction(5, job.model_version)
        plan = job.make_plan()
        assert listed(job) == list(plan.predict)
        assert job.count() == len(plan.predict)


def test_everything_is_done_once(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(130)
    studio.largest_page = 50
    with bulk_job(studio, tmp_path, Selection(blank_share=0.2)) as job:
        plan = job.make_plan()
        tally = run_listed(job)
        assert (tally.done, tally.blank) == (len(plan.predict), len(plan.blank))
        assert tally.blank > 0
        assert all(len(studio.versions(task_id)) == 1 for task_id in range(1, 131))
        assert studio.project["model_version"] == job.model_version
        assert run_listed(job).tasks == 0


def test_predictions_are_written_before_the_last_page_is_listed(
    studio: StandInStudio, tmp_path: Path
) -> None:
    studio.add_tasks(8 * CHUNK)
    studio.largest_page = CHUNK
    with bulk_job(studio, tmp_path) as job:
        pages = job.tasks.pages
        written: list[int] = []

        def counting(*conditions: object, behind: int = 0) -> Iterator[list[dict[str, object]]]:
            written.append(len(studio.predictions))
            return pages(*conditions, behind=behind)  # type: ignore[arg-type]

        job.tasks.pages = counting  # type: ignore[method-assign]
        assert run_listed(job).done == 8 * CHUNK
    # Three chunks are under way and one is at hand: each further page waits for one to end.
    assert len(written) >= 8
    assert written[0] == 0
    assert all(count >= (page - 4) * CHUNK for page, count in enumerate(written))


def test_a_page_that_fails_is_asked_for_again(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(9)
    studio.largest_page = 4
    with bulk_job(studio, tmp_path) as job:
        ids = listed_ids(job.tasks, job.options.selection, job.model_version, job.patience)
        assert next(ids) == 1
        studio.faults.append(Fault("GET", "/api/tasks/", 503, times=2))
        assert list(ids) == list(range(2, 10))


def test_what_was_listed_is_stored_where_label_studio_goes_away(
    studio: StandInStudio, tmp_path: Path
) -> None:
    studio.add_tasks(3 * CHUNK)
    studio.largest_page = CHUNK
    with bulk_job(studio, tmp_path, patience=quick_patience(give_up_s=0.2)) as job:
        done = threading.Event()
        pages = job.tasks.pages

        def broken(*conditions: object, behind: int = 0) -> Iterator[list[dict[str, object]]]:
            if behind:
                done.wait(30)
                studio.faults.append(Fault("GET", "/api/tasks/", 403, times=1000))
            return pages(*conditions, behind=behind)  # type: ignore[arg-type]

        job.tasks.pages = broken  # type: ignore[method-assign]
        tally = Tally()

        def add(more: Tally) -> None:
            tally.add(more)
            done.set()

        with pytest.raises(LabelStudioError):
            job.run_listed(add)
    assert tally.done == CHUNK == len(studio.predictions)


def test_tasks_that_arrive_meanwhile_are_among_them(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(5)
    studio.largest_page = 3
    with bulk_job(studio, tmp_path) as job:
        ids = listed_ids(job.tasks, job.options.selection, job.model_version, job.patience)
        assert next(ids) == 1
        studio.add_tasks(2)
        assert list(ids) == [2, 3, 4, 5, 6, 7]
