"""Batches share threads fairly, and end in time."""

from __future__ import annotations

import threading
import time
from contextvars import ContextVar, copy_context

import pytest

from backend.fair_pool import FairPool, NotReached


def test_no_jobs() -> None:
    pool = FairPool(1)
    assert pool.run([]) == []
    pool.close()


def test_results_and_errors_in_order() -> None:
    pool = FairPool(3)
    jobs = [lambda i=i: 10 // i for i in range(5)]
    first, *rest = pool.run(jobs)
    assert isinstance(first, ZeroDivisionError)
    assert rest == [10, 5, 3, 2]
    pool.close()


@pytest.mark.parametrize(
    ("in_turn", "expected"),
    [(True, (["a", "b", "a", "b"], ["b", "a", "b", "a"])), (False, (["a", "a", "a", "a"],))],
)
def test_batches_take_turns_or_go_one_after_the_other(
    in_turn: bool, expected: tuple[list[str], ...]
) -> None:
    pool = FairPool(1, in_turn=in_turn)
    started, go, order = threading.Event(), threading.Event(), []

    def first() -> None:
        started.set()
        go.wait(20)

    def note(name: str) -> None:
        order.append(name)

    big = threading.Thread(target=pool.run, args=([first, *[lambda: note("a")] * 4],))
    big.start()
    assert started.wait(20)
    small = threading.Thread(target=pool.run, args=([lambda: note("b")] * 2,))
    small.start()
    while len(pool._batches) < 2:
        time.sleep(0.001)
    go.set()
    big.join(20)
    small.join(20)
    assert order[:4] in expected
    assert sorted(order) == ["a"] * 4 + ["b"] * 2
    pool.close()


def test_a_batch_without_time_starts_none_of_its_jobs() -> None:
    pool = FairPool(1)
    pool.run([lambda: time.sleep(0.3)])
    ran: list[int] = []
    outcomes = pool.run([lambda: ran.append(1)] * 20, time.monotonic() + 0.15)
    assert {type(outcome) for outcome in outcomes} == {NotReached}
    assert ran == []
    pool.close()


def test_nothing_starts_that_cannot_end_in_time() -> None:
    pool = FairPool(1)
    pool.run([lambda: time.sleep(0.3)])  # the running mean is now 0.3 s
    ran: list[int] = []
    (outcome,) = pool.run([lambda: ran.append(1)], time.monotonic() + 0.1)
    assert isinstance(outcome, NotReached)
    assert ran == []
    (outcome,) = pool.run([lambda: ran.append(1)], time.monotonic() + 20)
    assert ran == [1]
    pool.close()


def test_a_job_that_takes_too_long_is_not_waited_for() -> None:
    pool = FairPool(1)
    release = threading.Event()
    outcomes = pool.run([lambda: release.wait(20), lambda: None], time.monotonic() + 0.2)
    assert [type(outcome) for outcome in outcomes] == [NotReached, NotReached]
    release.set()
    assert pool.run([lambda: "next"]) == ["next"]
    pool.close()


def test_a_closed_pool_takes_no_more() -> None:
    pool = FairPool(1)
    pool.close()
    (outcome,) = pool.run([lambda: 1])
    assert isinstance(outcome, NotReached)
    assert "stop" in str(outcome)


def test_one_very_slow_job_does_not_stop_the_pool_for_ever() -> None:
    pool = FairPool(1)
    pool.run([lambda: time.sleep(0.5)])
    outcomes: list[object] = []
    for _ in range(30):
        outcomes += pool.run([lambda: "done"], time.monotonic() + 0.2)
    assert "done" in outcomes
    pool.close()


def test_closing_lets_waiting_callers_go() -> None:
    pool = FairPool(1)
    started, release = threading.Event(), threading.Event()
    results: list[object] = []

    def first() -> None:
        started.set()
        release.wait(20)

    blocked = threading.Thread(target=lambda: pool.run([first]))
    blocked.start()
    assert started.wait(20)
    waiting = threading.Thread(target=lambda: results.extend(pool.run([lambda: 1])))
    waiting.start()
    while not pool._batches:
        time.sleep(0.001)
    pool.close(timeout_s=0)
    waiting.join(20)
    assert not blocked.join(0) and blocked.is_alive()
    assert [type(result) for result in results] == [NotReached]
    release.set()
    blocked.join(20)


def test_draining_an_idle_pool() -> None:
    pool = FairPool(1)
    pool.drain(timeout_s=600)
    assert pool.close()


def test_draining_waits_for_what_is_under_way() -> None:
    pool = FairPool(1)
    started, release = threading.Event(), threading.Event()
    results: list[object] = []

    def slow() -> str:
        started.set()
        release.wait(20)
        return "done"

    caller = threading.Thread(target=lambda: results.extend(pool.run([slow, lambda: "late"])))
    caller.start()
    assert started.wait(20)
    draining = threading.Thread(target=pool.drain, args=(600,))
    draining.start()
    release.set()
    draining.join(20)
    caller.join(20)
    assert not draining.is_alive()
    assert results[0] == "done" and isinstance(results[1], NotReached)
    assert pool.close()


def test_draining_lets_callers_go_when_its_time_is_up() -> None:
    pool = FairPool(2)
    started, release = threading.Event(), threading.Event()
    results: list[object] = []

    def stuck() -> None:
        started.set()
        release.wait(20)

    caller = threading.Thread(target=lambda: results.extend(pool.run([lambda: "done", stuck])))
    caller.start()
    assert started.wait(20)
    while pool._batches:
        time.sleep(0.001)
    pool.drain(timeout_s=0.2)
    caller.join(20)
    assert results[0] == "done"
    assert isinstance(results[1], NotReached) and "stop" in str(results[1])
    assert not pool.close(timeout_s=0)
    release.set()
    assert pool.close()


def test_jobs_see_the_context_of_their_caller() -> None:
    pool, name = FairPool(2), ContextVar("name", default="none")

    def run(given: str) -> list[object]:
        name.set(given)
        return list(pool.run([name.get] * 20))

    callers = {given: copy_context() for given in "ab"}
    assert {given: set(c.run(run, given)) for given, c in callers.items()} == {
        "a": {"a"},
        "b": {"b"},
    }
    assert pool.run([name.get]) == ["none"]
    pool.close()
