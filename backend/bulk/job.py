"""A bulk job in this process: a few chunks side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import chain, islice

from backend.bulk.chunk import ChunkWork
from backend.bulk.tally import Tally
from backend.fair_pool import FairPool

Advance = Callable[[Tally], None]
"""Takes what came of each chunk."""

CHUNK = 40  # tasks
_SIDE_BY_SIDE = 3  # so that reading, predicting and writing overlap


def run_chunks(
    work: ChunkWork, predict: Sequence[int], blank: Sequence[int], advance: Advance, pool: FairPool
) -> None:
    """Work on all tasks; memory is bounded by a few chunks. `advance` is called once at a time.

    Ctrl-C stops the predicting, writes what is done, and goes on as KeyboardInterrupt. Raises
    LabelStudioError where Label Studio stays away; what was done is stored all the same.
    """
    lock = threading.Lock()

    def one(run: Callable[[Sequence[int]], Tally], ids: Sequence[int]) -> None:
        tally = run(ids)
        with lock:
            advance(tally)

    jobs = ((work.leave_blank, ids) for ids in chunks(blank))
    more = ((work.predict, ids) for ids in chunks(predict))

    def stop() -> None:
        pool.stop()
        work.patience.stop()

    side_by_side((partial(one, run, ids) for run, ids in chain(jobs, more)), stop)


def side_by_side(calls: Iterable[Callable[[], None]], stop: Callable[[], None]) -> None:
    """Make the calls, a few at a time; the next one is asked for when there is room.

    Where one raises, or Ctrl-C is pressed, `stop` is called, those under way end, and it is raised.
    """
    with ThreadPoolExecutor(_SIDE_BY_SIDE, thread_name_prefix="chunk") as threads:
        running: set[Future[None]] = set()
        try:
            for call in calls:
                if len(running) >= _SIDE_BY_SIDE:
                    running = _wait_for_one(running)
                running.add(threads.submit(call))
            while running:
                running = _wait_for_one(running)
        except BaseException:
            stop()  # chunks under way write what they have, and end
            raise


def _wait_for_one(running: set[Future[None]]) -> set[Future[None]]:
    """The chunks that go on; raises what one that ended has raised."""
    done, rest = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return rest


def chunks(ids: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """As many tasks as are worked on together."""
    rest = iter(ids)
    while chunk := tuple(islice(rest, CHUNK)):
        yield chunk
