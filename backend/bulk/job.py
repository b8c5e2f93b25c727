"""A bulk job in this process: a few chunks side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from functools import partial
from itertools import islice
from typing import Literal

from backend.bulk.chunk import ChunkWork
from backend.bulk.selection import Plan, Selection, is_blank
from backend.bulk.tally import Tally
from backend.fair_pool import FairPool

Advance = Callable[[Tally], None]
"""Takes what came of each chunk."""

CHUNK = 40  # tasks
Kind = Literal["predict", "blank"]
Part = tuple[Kind, Sequence[int]]
"""What is to be done, and the ids of up to a chunk of tasks."""

_SIDE_BY_SIDE = 3  # so that reading, predicting and writing overlap


def run_chunks(work: ChunkWork, parts: Iterable[Part], advance: Advance, pool: FairPool) -> None:
    """Work on all parts; memory is bounded by a few chunks. `advance` is called once at a time.

    The next part is asked for when there is room for it, so that what lists them keeps no more
    than one step ahead. Ctrl-C stops the predicting, writes what is done, and goes on as
    KeyboardInterrupt. Raises LabelStudioError where Label Studio stays away; what was done is
    stored all the same.
    """
    lock = threading.Lock()

    def one(kind: str, ids: Sequence[int]) -> None:
        tally = work.leave_blank(ids) if kind == "blank" else work.predict(ids)
        with lock:
            advance(tally)

    def stop() -> None:
        pool.stop()
        work.patience.stop()

    side_by_side((partial(one, kind, ids) for kind, ids in parts), stop)


def planned_parts(plan: Plan) -> Iterator[Part]:
    """First what is left blank, then what is predicted."""
    yield from (("blank", ids) for ids in chunks(plan.blank))
    yield from (("predict", ids) for ids in chunks(plan.predict))


def listed_parts(ids: Iterable[int], selection: Selection) -> Iterator[Part]:
    """As ids come; what fills no chunk comes at the end."""
    waiting: dict[Kind, list[int]] = {"blank": [], "predict": []}
    for task_id in ids:
        kind: Kind = "blank" if is_blank(task_id, selection) else "predict"
        waiting[kind].append(task_id)
        if len(waiting[kind]) == CHUNK:
            yield kind, tuple(waiting[kind])
            waiting[kind].clear()
    yield from ((kind, tuple(rest)) for kind, rest in waiting.items() if rest)


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
