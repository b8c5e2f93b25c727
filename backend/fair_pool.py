"""A bounded pool of threads that parallel batches share fairly."""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
_SMOOTHING = 0.2  # weight of the newest job in the running mean of job times


class NotReached(Exception):  # noqa: N818 - an outcome, not a fault
    """A job that was not done; the text says why."""


_LATE = "were not reached within the time budget"
_STOPPING = "were not reached before the stop"


class _Batch(Generic[T]):
    """The jobs of one caller; what is not done stays NotReached."""

    def __init__(self, jobs: Sequence[Callable[[], T]], deadline: float) -> None:
        self.jobs = deque(enumerate(jobs))
        self.deadline = deadline
        self.outcomes: list[T | BaseException] = [NotReached(_LATE) for _ in jobs]
        self.open = len(jobs)
        self.context = contextvars.copy_context()  # the caller's request id, for one
        self.done = threading.Event()
        if not jobs:
            self.done.set()

    def give_up(self, reason: str) -> None:
        """Leave all jobs that have not started; the batch is done when those under way are."""
        for index, _ in self.jobs:
            self.outcomes[index] = NotReached(reason)
        self.open -= len(self.jobs)
        self.jobs.clear()
        if self.open == 0:
            self.done.set()

    def let_go(self, reason: str) -> None:
        """Leave the jobs that are under way, too: whoever waits gets what is done."""
        for index, outcome in enumerate(self.outcomes):
            if isinstance(outcome, NotReached):
                self.outcomes[index] = NotReached(reason)
        self.done.set()


class FairPool:
    """Worker threads that take one job of each waiting batch in turn.

    So a batch of 500 tasks does not hold up the one task that an annotator has just opened.
    """

    def __init__(self, workers: int, *, in_turn: bool = True) -> None:
        """`in_turn`: False does batch after batch, so that they do not all end at the same time."""
        self._in_turn = in_turn
        self._ready = threading.Condition()
        self._batches: deque[_Batch[object]] = deque()
        self._waited_for: set[_Batch[object]] = set()
        self._closed = False
        self._mean_job_s = 0.0
        self._threads = [
            threading.Thread(target=self._work, name=f"labelvino-{i}", daemon=True)
            for i in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def run(
        self, jobs: Sequence[Callable[[], T]], deadline: float = float("inf")
    ) -> list[T | BaseException]:
        """Run all jobs; returns at `deadline` (time.monotonic, seconds) at the latest.

        Outcomes stand in the jobs' order: its result, the exception it raised, or NotReached.
        No job starts that, by the running mean, would end after the deadline.
        """
        batch: _Batch[T] = _Batch(jobs, deadline)
        with self._ready:
            if self._closed:
                batch.give_up(_STOPPING)
            elif jobs:
                self._batches.append(batch)  # type: ignore[arg-type]
                self._waited_for.add(batch)  # type: ignore[arg-type]
                self._ready.notify_all()
        timeout = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
        try:
            batch.done.wait(timeout)
        finally:
            with self._ready:
                batch.jobs.clear()
                self._waited_for.discard(batch)
        return list(batch.outcomes)

    def stop(self) -> None:
        """Start no more jobs; callers get what is done as soon as the jobs under way have ended."""
        with self._ready:
            self._closed = True
            for batch in self._batches:
                batch.give_up(_STOPPING)
            self._batches.clear()
            self._ready.notify_all()

    def drain(self, timeout_s: float) -> None:
        """Stop, and wait for the jobs under way; after `timeout_s`, callers get what is done."""
        self.stop()
        with self._ready:
            self._ready.wait_for(lambda: not self._waited_for, timeout_s)
            for batch in self._waited_for:
                batch.let_go(_STOPPING)

    def close(self, timeout_s: float = 5.0) -> bool:
        """Stop, and wait for the jobs under way, but not longer than `timeout_s`.

        Returns whether they have all ended.
        """
        self.stop()
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            batch, index, job = taken
            start = time.monotonic()
            try:
                outcome: object = batch.context.copy().run(job)
            except Exception as error:  # noqa: BLE001 - handed to the caller
                outcome = error
            with self._ready:
                seconds = time.monotonic() - start
                mean = self._mean_job_s
                self._mean_job_s = mean + _SMOOTHING * (seconds - mean) if mean else seconds
                batch.outcomes[index] = outcome
                batch.open -= 1
                if batch.open == 0:
                    batch.done.set()
                    self._waited_for.discard(batch)
                    self._ready.notify_all()

    def _take(self) -> tuple[_Batch[object], int, Callable[[], object]] | None:
        with self._ready:
            while True:
                while self._batches:
                    batch = self._batches.popleft()
                    if not batch.jobs:
                        continue
                    if time.monotonic() + self._mean_job_s > batch.deadline:
                        batch.give_up(_LATE)
                        # One slow job must not keep all later batches from starting for ever.
                        self._mean_job_s *= 1 - _SMOOTHING
                        continue
                    index, job = batch.jobs.popleft()
                    if batch.jobs and self._in_turn:
                        self._batches.append(batch)
                    elif batch.jobs:
                        self._batches.appendleft(batch)
                    return batch, index, job
                if self._closed:
                    return None
                self._ready.wait()
