"""Bulk jobs in a real Redis: what becomes of chunks, with a stand-in for model and Label Studio."""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from redis import Redis
from redis_server import RedisServer
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.bulk import caretaker, job_queue
from backend.bulk.bench import WrongOrderError
from backend.bulk.caretaker import Caretaker
from backend.bulk.chunk import ChunkOptions
from backend.bulk.job_queue import MOST_ATTEMPTS, Chunk, JobQueue, queue_name
from backend.bulk.ledger import JobResult
from backend.bulk.order import Order, config_digest, options_text
from backend.bulk.selection import Selection
from backend.bulk.tally import Tally
from backend.bulk.worker import Worker
from backend.predictor import PredictorOptions
from backend.runtime.errors import LabelStudioError

Work = Callable[[Chunk], Tally]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.kill()


@pytest.fixture
def redis(server: RedisServer) -> Iterator[Redis]:
    with server.client() as client:
        yield client
        client.flushall()


@pytest.fixture
def jobs(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> JobQueue:
    """Nothing of it waits."""
    monkeypatch.setattr(job_queue, "_AGAIN_AFTER_S", (-2,))
    monkeypatch.setattr(caretaker, "LOOK_EVERY_S", 0.002)
    monkeypatch.setattr(caretaker, "SILENCE_S", 0)
    monkeypatch.setattr(caretaker, "_STRAY_S", 0.0)
    return JobQueue(redis, queue_name("toy", "0123456789abcdef0123"))


class StubBench:
    """Counts tasks as done, unless `work` does something else."""

    def __init__(self, work: Work | None = None) -> None:
        self._work = work
        self.chunks: list[Chunk] = []
        self.finished = 0

    def work(self, chunk: Chunk) -> Tally:
        self.chunks.append(chunk)
        return self._work(chunk) if self._work else Tally(done=len(chunk.task_ids))

    def finish(self, chunk: Chunk) -> None:
        self.finished += 1

    def stop(self, timeout_s: float) -> None:
        pass


def an_order(project: int = 7, **options: float) -> Order:
    chunk = ChunkOptions(Selection(), **options)
    digest, predictor = config_digest("<View/>"), options_text(PredictorOptions())
    return Order(project, "Streets", "toy-1-2", digest, predictor, chunk)


ORDER = an_order()


def plan(
    jobs: JobQueue, *chunks: Sequence[int], order: Order = ORDER
) -> dict[str, tuple[int, ...]]:
    new, _ = jobs.plan(order, [("predict", ids) for ids in chunks])
    return new


def work(jobs: JobQueue, bench: StubBench) -> None:
    """Until nothing is open any more."""
    for _ in range(40):
        worker = Worker(jobs, bench, 1.0)  # type: ignore[arg-type]
        worker.run(burst=True)
        run = jobs.ledger.run(ORDER.run_id)
        if run is None or run.is_closed:
            return
    raise AssertionError("the run never ended")


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.bulk.worker.WAIT_FOR_JOB_S", 1)


def test_an_empty_plan_is_no_run(jobs: JobQueue) -> None:
    assert jobs.plan(ORDER, []) == ({}, {})
    assert jobs.ledger.runs() == []
    bench = StubBench()
    work(jobs, bench)
    assert bench.chunks == []


def test_a_worker_does_all_and_leaves_nothing_behind(jobs: JobQueue, redis: Redis) -> None:
    new = plan(jobs, (1, 2, 3), (4, 5))
    assert sorted(new.values()) == [(1, 2, 3), (4, 5)]
    bench = StubBench()
    work(jobs, bench)
    assert [chunk.task_ids for chunk in bench.chunks] == [(1, 2, 3), (4, 5)]
    assert [chunk.order for chunk in bench.chunks] == [ORDER] * 2
    assert bench.finished == 1
    assert jobs.ledger.total(ORDER.run_id) == Tally(done=5)
    (run,) = jobs.ledger.runs()
    assert (run.planned, run.is_closed, run.error) == (5, True, "")
    assert redis.keys("rq:job:*") == redis.keys("rq:exec*") == []
    assert redis.llen(jobs.rq.key) == redis.llen(jobs.rq.intermediate_queue_key) == 0
    assert redis.ttl(f"labelvino:bulk:{run.id}:results") > 0


def test_a_second_plan_does_not_double_the_work(jobs: JobQueue) -> None:
    first = plan(jobs, (1, 2, 3), (4, 5))
    new, joined = jobs.plan(ORDER, [("predict", (2, 3, 6))])
    assert list(new.values()) == [(6,)]
    assert list(joined.values()) == [(1, 2, 3)]
    assert joined.items() <= first.items()
    bench = StubBench()
    work(jobs, bench)
    done = sorted(task_id for chunk in bench.chunks for task_id in chunk.task_ids)
    assert done == [1, 2, 3, 4, 5, 6]


def test_two_that_plan_at_once_do_not_either(server: RedisServer, jobs: JobQueue) -> None:
    def one() -> None:
        with server.client() as client:
            chunks = [(n, n + 1) for n in range(0, 200, 2)]
            plan(JobQueue(client, jobs.rq.name), *chunks)

    threads = [threading.Thread(target=one) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    open_chunks = jobs.open_chunks(ORDER.run_id)
    assert sorted(task_id for ids in open_chunks.values() for task_id in ids) == list(range(200))


def test_redis_holds_ids_and_options_only(jobs: JobQueue, redis: Redis) -> None:
    (job_id,) = plan(jobs, (11, 12))
    job = Job.fetch(job_id, connection=redis, serializer=JSONSerializer)
    assert job.kwargs.keys() == {"kind", "ids", "order"}
    assert job.kwargs["order"].keys() == {
        "project", "title", "model_version", "config", "predictor", "selection", "covered_share",
        "rate", "tuned",
    }  # fmt: skip
    data = redis.hget(job.key, "data")
    assert isinstance(data, bytes)
    assert not re.search(rb"View|token|http|redis:", zlib.decompress(data))
    assert Chunk.of(job).order == ORDER


def test_jobs_of_another_model_are_left_alone(jobs: JobQueue, redis: Redis) -> None:
    other = JobQueue(redis, queue_name("toy", "ffff456789abcdef0123"))
    plan(other, (1, 2))
    bench = StubBench()
    Worker(jobs, bench, 1.0).run(burst=True)  # type: ignore[arg-type]
    assert bench.chunks == []
    assert len(other.open_chunks(ORDER.run_id)) == 1


def test_a_poisonous_task_does_not_take_its_neighbours_down(jobs: JobQueue) -> None:
    def poisoned(chunk: Chunk) -> Tally:
        if 13 in chunk.task_ids:
            raise ValueError("a bug")
        return Tally(done=len(chunk.task_ids))

    plan(jobs, range(40), range(40, 50))
    bench = StubBench(poisoned)
    work(jobs, bench)
    assert jobs.ledger.dead(ORDER.run_id) == {13: "unexpected ValueError; see the worker's log"}
    total = jobs.ledger.total(ORDER.run_id)
    assert (total.done, list(total.failed)) == (49, [13])
    assert sum(13 in chunk.task_ids for chunk in bench.chunks) <= 6
    assert bench.finished == 1


def test_what_fails_is_tried_again_and_then_given_up(jobs: JobQueue) -> None:
    def away(chunk: Chunk) -> Tally:
        raise LabelStudioError("Label Studio does not answer.")

    plan(jobs, (1, 2))
    bench = StubBench(away)
    work(jobs, bench)
    assert len(bench.chunks) == MOST_ATTEMPTS
    reason = "Label Studio does not answer."
    assert jobs.ledger.dead(ORDER.run_id) == {1: reason, 2: reason}
    # Done later, they are struck off.
    plan(jobs, (1,))
    work(jobs, StubBench())
    assert jobs.ledger.dead(ORDER.run_id) == {2: reason}
    assert jobs.ledger.total(ORDER.run_id) == Tally(done=1)


def test_a_wrong_order_is_refused_at_once(jobs: JobQueue) -> None:
    def wrong(chunk: Chunk) -> Tally:
        raise WrongOrderError("the labelling config has changed")

    plan(jobs, (1, 2))
    bench = StubBench(wrong)
    work(jobs, bench)
    assert len(bench.chunks) == 1
    assert list(jobs.ledger.dead(ORDER.run_id)) == [1, 2]


def test_what_a_stop_has_left_goes_first(jobs: JobQueue) -> None:
    left = iter([[2, 3], []])

    def stopped(chunk: Chunk) -> Tally:
        not_reached = next(left, [])
        return Tally(done=len(chunk.task_ids) - len(not_reached), left_ids=list(not_reached))

    plan(jobs, (1, 2, 3), (4, 5))
    bench = StubBench(stopped)
    work(jobs, bench)
    assert [chunk.task_ids for chunk in bench.chunks] == [(1, 2, 3), (2, 3), (4, 5)]
    assert jobs.ledger.total(ORDER.run_id) == Tally(done=5)


def die(jobs: JobQueue) -> Chunk:
    """A worker takes a job and is killed: its signs of life run out."""
    worker = Worker(jobs, StubBench(), 1.0)  # type: ignore[arg-type]
    job = worker._next()
    assert job is not None
    execution = worker._member.prepare_execution(job)
    worker._member.prepare_job_execution(job, remove_from_intermediate_queue=True)
    jobs.redis.delete(execution.key)
    time.sleep(0.01)  # the last look's lock ends
    return Chunk.of(job)


def test_the_chunk_of_a_dead_worker_is_done_by_another(jobs: JobQueue) -> None:
    plan(jobs, range(12))
    assert die(jobs).task_ids == tuple(range(12))
    bench = StubBench()
    work(jobs, bench)
    assert sorted(chunk.task_ids for chunk in bench.chunks) == [(n, n + 1) for n in range(0, 12, 2)]
    assert jobs.ledger.total(ORDER.run_id) == Tally(done=12)
    assert jobs.redis.zcard(jobs.rq.started_job_registry.key) == 0


def test_a_task_that_kills_workers_is_given_up(jobs: JobQueue) -> None:
    plan(jobs, (1,))
    for _ in range(2):
        die(jobs)
        Caretaker(jobs).look()
        Caretaker(jobs)._jobs.enqueue_due()
    assert jobs.ledger.dead(ORDER.run_id) == {1: caretaker.DIED}


def test_a_worker_that_lives_keeps_its_job(jobs: JobQueue) -> None:
    plan(jobs, (1, 2))
    worker = Worker(jobs, StubBench(), 1.0)  # type: ignore[arg-type]
    job = worker._next()
    assert job is not None
    worker._member.prepare_execution(job)
    worker._member.prepare_job_execution(job, remove_from_intermediate_queue=True)
    Caretaker(jobs).look()
    assert jobs.states(ORDER.run_id) == {"queued": 0, "started": 1, "scheduled": 0}


def test_a_redis_that_has_just_begun_calls_nobody_dead(
    jobs: JobQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caretaker, "SILENCE_S", 10**9)
    plan(jobs, (1, 2))
    die(jobs)
    Caretaker(jobs).look()
    assert jobs.states(ORDER.run_id)["started"] == 1


def test_a_job_taken_but_never_begun_comes_back(jobs: JobQueue) -> None:
    plan(jobs, (1, 2))
    assert Worker(jobs, StubBench(), 1.0)._next() is not None  # type: ignore[arg-type]
    assert jobs.redis.llen(jobs.rq.key) == 0
    work(jobs, StubBench())
    assert jobs.ledger.total(ORDER.run_id) == Tally(done=2)


def test_a_result_that_comes_twice_counts_once(jobs: JobQueue) -> None:
    (job_id,) = plan(jobs, (1, 2))
    job = Job.fetch(job_id, connection=jobs.redis, serializer=JSONSerializer)
    chunk = Chunk.of(job)
    jobs.finished(job, None, chunk, Tally(done=2))
    jobs.finished(job, None, chunk, Tally(skipped=2))
    assert jobs.ledger.results(ORDER.run_id, [job_id]) == {job_id: JobResult(Tally(done=2), {})}


def test_a_foreign_job_is_never_run(jobs: JobQueue, tmp_path: Path) -> None:
    """Whoever can write to Redis cannot choose the code."""
    proof = tmp_path / "proof"
    jobs.rq.enqueue("os.mkdir", str(proof))
    work(jobs, StubBench())
    assert not proof.exists()
    assert jobs.redis.keys("rq:job:*") == []


def test_jobs_that_redis_lost_do_not_keep_a_run_open(jobs: JobQueue) -> None:
    lost, kept = plan(jobs, (1, 2), (3,))
    jobs.redis.delete(f"rq:job:{lost}")
    bench = StubBench()
    work(jobs, bench)
    assert [chunk.task_ids for chunk in bench.chunks] == [(3,)]
    assert jobs.ledger.results(ORDER.run_id, [lost, kept]).keys() == {kept}


def test_a_run_that_redis_forgets_in_the_middle_can_be_planned_again(jobs: JobQueue) -> None:
    (job_id,) = plan(jobs, (1, 2))
    job = Job.fetch(job_id, connection=jobs.redis, serializer=JSONSerializer)
    jobs.redis.flushall()
    jobs.finished(job, None, Chunk.of(job), Tally(done=2))
    assert jobs.ledger.runs() == []
    plan(jobs, (3,))
    bench = StubBench()
    work(jobs, bench)
    assert [chunk.task_ids for chunk in bench.chunks] == [(3,)]
    (run,) = jobs.ledger.runs()
    assert run.is_closed


def test_cancelled_jobs_are_not_reached(jobs: JobQueue) -> None:
    plan(jobs, (1, 2), (3,))
    assert jobs.cancel(ORDER.run_id) == 3
    bench = StubBench()
    work(jobs, bench)
    assert bench.chunks == []
    assert sorted(jobs.ledger.total(ORDER.run_id).left_ids) == [1, 2, 3]


def test_a_rate_counts_for_all_workers_together(jobs: JobQueue) -> None:
    waits_s = [jobs.ledger.wait_s(ORDER.run_id, tasks, 0.1) for tasks in (40, 40, 20)]
    assert waits_s[0] == 0
    assert 390 < waits_s[1] <= 400
    assert 790 < waits_s[2] <= 800


def test_workers_show_while_they_live(jobs: JobQueue) -> None:
    seen: list[list[dict[str, str]]] = []

    def look(chunk: Chunk) -> Tally:
        seen.append(jobs.workers())
        return Tally(done=len(chunk.task_ids))

    assert jobs.workers() == []
    plan(jobs, (1,))
    work(jobs, StubBench(look))
    ((worker,),) = seen
    assert worker["state"] == "busy"
    assert worker["current_job"].startswith(ORDER.run_id)
    assert jobs.workers() == []
