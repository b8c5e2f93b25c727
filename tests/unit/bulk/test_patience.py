"""Asking again, and not too often."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from bulk_parts import stand_in
from stand_in_studio import StandInStudio, running

from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.json_calls import RefusedError, UnreachableError
from backend.labelstudio.patience import Patience
from backend.runtime.errors import LabelStudioError


class NoWaiting(Patience):
    """Notes its waits instead of waiting; `after` is called before each."""

    def __init__(self, give_up_s: float = 300.0) -> None:
        super().__init__(give_up_s=give_up_s)
        self.waits_s: list[float] = []
        self.stop_event.wait = self._note  # type: ignore[method-assign, assignment]

    def _note(self, timeout: float | None = None) -> bool:
        self.waits_s.append(timeout or 0.0)
        return self.stop_event.is_set()


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(stand_in()) as found:
        yield found


def asked(studio: StandInStudio, patience: Patience) -> Project:
    with LabelStudioClient(studio.url) as client:
        api = LabelStudioApi(client, 5.0)
        return patience.call(lambda: api.project("1"))


def test_what_works_is_asked_once(studio: StandInStudio) -> None:
    patience = NoWaiting()
    assert asked(studio, patience).id == 1
    assert patience.waits_s == [] and len(studio.seen) == 1


@pytest.mark.parametrize("status", [0, 429, 500, 502, 503, 504])
def test_what_passes_is_asked_again(studio: StandInStudio, status: int) -> None:
    patience = NoWaiting()
    studio.fail("GET", "projects", status, times=4)
    assert asked(studio, patience).id == 1
    assert len(patience.waits_s) in (2, 4)  # a GET that breaks off is sent twice at once


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_does_not_pass_is_not(studio: StandInStudio, status: int) -> None:
    patience = NoWaiting()
    studio.fail("GET", "projects", status)
    with pytest.raises(LabelStudioError):
        asked(studio, patience)
    assert patience.waits_s == []


def test_waits_double_with_jitter_up_to_a_limit(studio: StandInStudio) -> None:
    patience = NoWaiting()
    studio.fail("GET", "projects", 503, times=9)
    asked(studio, patience)
    middle = [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert len(patience.waits_s) == 9
    for waited, about in zip(patience.waits_s, middle, strict=True):
        assert 0.5 * about <= waited <= 1.5 * about
    assert len({round(w / a, 6) for w, a in zip(patience.waits_s, middle, strict=True)}) > 5


def test_what_label_studio_asks_for_is_waited(studio: StandInStudio) -> None:
    patience = NoWaiting()
    studio.fail("GET", "projects", 429, headers={"Retry-After": "17"})
    asked(studio, patience)
    assert patience.waits_s == [17.0]


def test_a_longer_wait_than_patience_lasts_is_not_begun(studio: StandInStudio) -> None:
    patience = NoWaiting(give_up_s=10.0)
    studio.fail("GET", "projects", 429, headers={"Retry-After": "3600"})
    with pytest.raises(RefusedError):
        asked(studio, patience)
    assert patience.waits_s == []


def test_it_gives_up_with_the_last_error(studio: StandInStudio) -> None:
    studio.fail("GET", "projects", 503, times=10_000)
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.02, give_up_s=0.2)
    with pytest.raises(RefusedError, match="503"):
        asked(studio, patience)
    assert len(studio.seen) > 3


def test_nobody_there() -> None:
    studio = stand_in()
    with running(studio):
        pass
    with pytest.raises(UnreachableError, match="check the host and port"):
        asked(studio, Patience(first_wait_s=0.01, give_up_s=0.1))


def test_one_that_comes_back(studio: StandInStudio) -> None:
    away = stand_in()
    with running(away):
        pass
    patience = Patience(first_wait_s=0.01, longest_wait_s=0.05, give_up_s=60)
    found: list[Project] = []
    thread = threading.Thread(target=lambda: found.append(asked(away, patience)))
    thread.start()
    time.sleep(0.2)
    with running(away):
        thread.join(30)
    assert found[0].id == 1


def test_a_stop_ends_the_wait(studio: StandInStudio) -> None:
    studio.fail("GET", "projects", 503, times=10_000)
    patience = Patience(first_wait_s=3600, longest_wait_s=3600, give_up_s=10_000)
    failed: list[str] = []

    def ask() -> None:
        try:
            asked(studio, patience)
        except RefusedError as error:
            failed.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    wait_until(lambda: len(studio.seen) == 1)
    patience.stop()
    thread.join(30)
    assert len(failed) == 1 and not thread.is_alive()
    ask()  # and what fails from then on has failed
    assert len(failed) == 2 and len(studio.seen) == 2
    patience.pause(3600)


def wait_until(is_so: Callable[[], bool]) -> None:
    ends_at_s = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < ends_at_s
        time.sleep(0.01)
