"""Which tasks a job takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bulk_parts import stand_in
from stand_in_studio import StandInStudio, running

from backend.bulk.selection import BLANK_VERSION, Plan, Selection, make_plan
from backend.labelstudio.api import LabelStudioApi
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.project_tasks import ProjectTasks

VERSION = "toy-1234-5678"


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(stand_in()) as found:
        yield found


def plan(studio: StandInStudio, **wanted: object) -> Plan:
    with LabelStudioClient(studio.url) as client:
        tasks = ProjectTasks(LabelStudioApi(client).calls, 1)
        return make_plan(tasks, Selection(**wanted), VERSION)  # type: ignore[arg-type]


def test_no_tasks(studio: StandInStudio) -> None:
    assert plan(studio) == Plan((), ())
    assert plan(studio, task_ids=()) == Plan((), ())
    assert plan(studio, task_ids=(), sample=3, blank_share=0.5) == Plan((), ())


def test_those_with_the_version_or_left_blank_are_left_out(studio: StandInStudio) -> None:
    studio.add_tasks(5)
    studio.add_prediction(1, VERSION)
    studio.add_prediction(2, "another")
    studio.add_prediction(3, BLANK_VERSION)
    assert plan(studio).predict == (2, 4, 5)
    assert plan(studio, fill_blank=True).predict == (2, 3, 4, 5)
    assert plan(studio, replace=True).predict == (1, 2, 4, 5)
    assert plan(studio, replace=True, fill_blank=True).predict == (1, 2, 3, 4, 5)


def test_only_unlabelled(studio: StandInStudio) -> None:
    studio.add_tasks(3)
    studio.annotations[2] = [{"result": []}]
    assert plan(studio, only_unlabelled=True).predict == (1, 3)


@pytest.mark.parametrize("page", [1, 3, 4, 1000])
def test_pages_smaller_than_asked_for_lose_nothing(studio: StandInStudio, page: int) -> None:
    studio.add_tasks(8)
    studio.largest_page = page
    studio.views[7] = [8, 2, 4, 6]
    assert plan(studio).predict == tuple(range(1, 9))
    assert plan(studio, task_ids=(8, 2, 99, 4, 6)).predict == (8, 2, 4, 6)
    assert plan(studio, view_id=7).predict == (8, 2, 4, 6)


def test_a_view_in_its_order_and_without_those_that_have_it(studio: StandInStudio) -> None:
    studio.add_tasks(600)
    studio.views[7] = list(range(600, 99, -1))
    studio.views[8] = list(range(500, 0, -1))  # one full page, and no second
    studio.add_prediction(600, VERSION)
    assert plan(studio, view_id=7, limit=2).predict == (599, 598)
    assert len(plan(studio, view_id=8).predict) == 500


def test_named_tasks_once_each(studio: StandInStudio) -> None:
    studio.add_tasks(3)
    assert plan(studio, task_ids=(3, 1, 3, 77)).predict == (3, 1)


def test_a_sample_is_the_same_again_and_another_with_another_seed(studio: StandInStudio) -> None:
    studio.add_tasks(200)
    first = plan(studio, sample=20).predict
    assert len(first) == 20 and list(first) == sorted(first)
    assert plan(studio, sample=20).predict == first
    assert plan(studio, sample=20, seed=1).predict != first
    assert plan(studio, sample=500).predict == tuple(range(1, 201))
    assert plan(studio, sample=20, limit=5).predict == first[:5]


def test_the_blank_share_is_by_task_and_stays_so(studio: StandInStudio) -> None:
    studio.add_tasks(1000)
    first = plan(studio, blank_share=0.05)
    assert 25 <= len(first.blank) <= 80
    assert sorted(first.predict + first.blank) == list(range(1, 1001))
    # After half of the work was done, the same of the rest are left blank.
    for task_id in first.predict[:500]:
        studio.add_prediction(task_id, VERSION)
    for task_id in first.blank[:10]:
        studio.add_prediction(task_id, BLANK_VERSION)
    second = plan(studio, blank_share=0.05)
    assert second.blank == first.blank[10:] and second.predict == first.predict[500:]
    assert plan(studio, blank_share=1.0).predict == ()
    assert set(plan(studio, blank_share=0.05, seed=1).blank) != set(second.blank)
