"""Events of Start Training: many, doubled, out of order, and never waited for."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator

import pytest

from backend.runtime.errors import LabelStudioError
from backend.training import START_TRAINING, Outcome, TrainingDesk


class Tuner:
    """Waits in each tuning until it is released; `begun`: projects, in order."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.started = threading.Semaphore(0)
        self.release = threading.Semaphore(0)
        self.at_once = 0
        self.most_at_once = 0

    def __call__(self, project: int) -> Outcome:
        self.begun.append(project)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.started.release()
        self.release.acquire(timeout=20)
        self.at_once -= 1
        if project == 13:
            raise LabelStudioError("Label Studio is away.")
        if project == 14:
            raise ZeroDivisionError
        return Outcome("nothing", f"done with {project}.")


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def tuner() -> Tuner:
    return Tuner()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def desk(tuner: Tuner, clock: Clock) -> Iterator[TrainingDesk]:
    desk = TrainingDesk(tuner, clock=clock)
    yield desk
    for _ in range(100):
        tuner.release.release()
    assert desk.stop(20)


def start(desk: TrainingDesk, project: object = 1) -> str:
    return desk.event(START_TRAINING, project)["status"]


def begun(tuner: Tuner) -> None:
    assert tuner.started.acquire(timeout=20)


def wait_for(desk: TrainingDesk, done: int) -> None:
    for _ in range(2000):
        if sum(desk.counts()[0].values()) == done:
            return
        threading.Event().wait(0.01)
    raise AssertionError(desk.counts())


def test_no_event(desk: TrainingDesk) -> None:
    assert desk.runs() == []
    assert set(desk.counts()[0].values()) == {0}


@pytest.mark.parametrize("action", ["ANNOTATION_CREATED", "ANNOTATIONS_DELETED", "x", None, 5, {}])
def test_other_events_are_counted_and_start_nothing(
    desk: TrainingDesk, tuner: Tuner, action: object
) -> None:
    assert desk.event(action, 1) == {"status": "ignored"}
    counted = dict(desk.counts()[1])
    assert counted == {action if str(action).startswith("ANN") else "other": 1}
    assert tuner.begun == []


@pytest.mark.parametrize("project", [None, "1", 1.5, True, {"id": 1}])
def test_an_event_without_a_project(desk: TrainingDesk, project: object) -> None:
    assert start(desk, project) == "ignored"


def test_the_answer_says_what_it_is_and_what_came_of_it_is_kept(
    desk: TrainingDesk, tuner: Tuner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    answer = desk.event(START_TRAINING, 1)
    assert answer["status"] == "accepted"
    assert "the network is not trained" in answer["message"]
    begun(tuner)
    assert [run["state"] for run in desk.runs()] == ["running"]
    tuner.release.release()
    wait_for(desk, 1)
    (run,) = desk.runs()
    assert (run["state"], run["outcome"], run["sentence"]) == ("done", "nothing", "done with 1.")
    assert "the network is not trained" in caplog.text and "done with 1." in caplog.text


def test_doubles_of_one_click_are_one_run(desk: TrainingDesk, tuner: Tuner, clock: Clock) -> None:
    assert start(desk) == "accepted"
    begun(tuner)
    assert [start(desk) for _ in range(3)] == ["running already"] * 3
    clock.now_s += 60  # another click, while the first is worked on
    assert [start(desk) for _ in range(3)] == ["accepted", "waiting already", "waiting already"]
    tuner.release.release()
    begun(tuner)
    tuner.release.release()
    wait_for(desk, 2)
    assert tuner.begun == [1, 1]


def test_doubles_that_come_after_the_end(desk: TrainingDesk, tuner: Tuner, clock: Clock) -> None:
    """Several webhooks of one click, and tasks so few that the first run is over meanwhile."""
    tuner.release.release()
    assert start(desk) == "accepted"
    wait_for(desk, 1)
    clock.now_s += 4.9
    assert [start(desk) for _ in range(3)] == ["done already"] * 3
    assert tuner.begun == [1]
    clock.now_s += 0.2  # another click
    assert start(desk) == "accepted"
    begun(tuner)


def test_clicks_are_remembered_of_some_projects_only(tuner: Tuner, clock: Clock) -> None:
    desk = TrainingDesk(tuner, clock=clock)
    for project in range(300):
        tuner.release.release()
        start(desk, project)
        wait_for(desk, project + 1)
    assert start(desk, 299) == "done already"
    assert start(desk, 0) == "accepted"  # long forgotten
    tuner.release.release()
    wait_for(desk, 301)
    assert desk.stop(20)


def test_one_project_after_the_other(desk: TrainingDesk, tuner: Tuner) -> None:
    for project in (1, 2, 3, 2, 1):
        start(desk, project)
    for _ in range(3):
        begun(tuner)
        tuner.release.release()
    wait_for(desk, 3)
    assert (tuner.begun, tuner.most_at_once) == ([1, 2, 3], 1)


def test_memory_is_bounded(desk: TrainingDesk, tuner: Tuner) -> None:
    start(desk, 0)
    begun(tuner)
    answers = [start(desk, project) for project in range(1, 1000)]
    assert answers.count("accepted") == 64
    assert set(answers) == {"accepted", "busy"}
    assert len(desk.runs()) == 65


def test_what_fails_is_said_and_the_next_goes_on(
    desk: TrainingDesk, tuner: Tuner, caplog: pytest.LogCaptureFixture
) -> None:
    for project in (13, 14, 1):
        start(desk, project)
        tuner.release.release()
    wait_for(desk, 3)
    sentences = [run["sentence"] for run in desk.runs()]
    assert sentences == [
        "Label Studio is away.", "unexpected ZeroDivisionError; see the log.", "done with 1.",
    ]  # fmt: skip
    assert desk.counts()[0]["failed"] == 2


def test_a_stop_does_not_wait(desk: TrainingDesk, tuner: Tuner) -> None:
    start(desk, 1)
    start(desk, 2)
    begun(tuner)
    assert desk.stop(0.01) is False
    assert start(desk, 3) == "stopping"
    tuner.release.release()
    assert desk.stop(20) is True
    assert tuner.begun == [1]


def test_off(caplog: pytest.LogCaptureFixture) -> None:
    desk = TrainingDesk(None, "it is off.")
    answer = desk.event(START_TRAINING, 1)
    assert answer["status"] == "off"
    assert answer["message"].endswith("It does nothing: it is off.")
    assert "it is off." in caplog.text
    assert desk.stop(1)
