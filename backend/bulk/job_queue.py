"""Chunks of tasks as RQ jobs: planned, taken, settled; each change is one transaction.

A job's ids travel as JSON, and its function's name is never looked up: who can write to Redis
cannot make a worker run other code.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Literal, get_args

from redis import Redis
from redis.client import Pipeline
from redis.exceptions import LockError
from rq import Queue
from rq.exceptions import DeserializationError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer
from rq.worker_registration import get_keys

from backend.bulk.ledger import JobResult, Ledger
from backend.bulk.order import Order
from backend.bulk.tally import Tally

Kind = Literal["predict", "blank", "finish"]

MOST_ATTEMPTS = 5
MOST_DEATHS = 2  # of workers, by a chunk of one task
_PARTS = 6  # of a chunk that its worker did not survive
_AGAIN_AFTER_S = (5, 20, 60, 120)
_AT_ONCE = 200  # jobs in one transaction
_PLANNING_S = 60.0  # longest, before another may plan


@dataclass(frozen=True)
class Chunk:
    """What a job asks for."""

    kind: Kind
    task_ids: tuple[int, ...]
    order: Order

    @classmethod
    def of(cls, job: Job) -> Chunk:
        """Raises ValueError for a job that is not ours."""
        try:
            given = job.kwargs
            ids, order = tuple(map(int, given["ids"])), Order.from_json(given["order"])
            get_args(Kind).index(given["kind"])
        except (ValueError, KeyError, TypeError, AttributeError, DeserializationError) as error:
            raise ValueError(f"job {job.id} is not of this release of labelvino") from error
        return cls(given["kind"], ids, order)


class JobQueue:
    """The jobs for one model: queues of other models are not looked at."""

    def __init__(self, redis: Redis, name: str) -> None:
        """`name`: of the queue, as `queue_name` gives it."""
        self.redis = redis
        self.ledger = Ledger(redis)
        self.rq = Queue(name, connection=redis, serializer=JSONSerializer)

    # planning

    def plan(
        self, order: Order, chunks: Iterable[tuple[Kind, Sequence[int]]]
    ) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
        """Put chunks into the queue, without tasks that are in it already.

        Gives the new jobs, and those of before that have tasks of these; each with its tasks.
        """
        run_id = order.run_id
        with self._planning(run_id):
            before = self.open_chunks(run_id)
            there = {task_id for ids in before.values() for task_id in ids}
            new, joined = {}, set()
            jobs = []
            for kind, ids in chunks:
                joined |= there.intersection(ids)
                fresh = tuple(task_id for task_id in ids if task_id not in there)
                if fresh:
                    job = self._job(order, kind, fresh, f"{run_id}-{uuid.uuid4().hex[:12]}")
                    jobs.append(job)
                    new[job.id] = fresh
            self.add(order, jobs)
        return new, {i: ids for i, ids in before.items() if joined.intersection(ids)}

    @contextmanager
    def _planning(self, run_id: str) -> Iterator[None]:
        """One at a time. A lock that is lost costs nothing but some work done twice."""
        lock = self.redis.lock(self.ledger.key(run_id, "planning"), timeout=_PLANNING_S)
        lock.acquire()
        try:
            yield
        finally:
            with suppress(LockError):
                lock.release()

    def add(self, order: Order, jobs: Sequence[Job]) -> None:
        """Put jobs behind the others."""
        for start in range(0, len(jobs), _AT_ONCE):
            part = jobs[start : start + _AT_ONCE]
            with self.redis.pipeline() as pipeline:
                tasks = sum(len(job.kwargs["ids"]) for job in part)
                self.ledger.begin(order, self.rq.name, tasks, pipeline)
                self._push(order.run_id, part, pipeline)
                pipeline.execute()

    def add_again(self, order: Order, chunks: Mapping[str, Sequence[int]]) -> None:
        """Jobs that Redis has lost, under their old names."""
        jobs = [self._job(order, "predict", ids, job_id) for job_id, ids in chunks.items()]
        with self.redis.pipeline() as pipeline:
            if self.ledger.run(order.run_id) is None:
                tasks = sum(map(len, chunks.values()))
                self.ledger.begin(order, self.rq.name, tasks, pipeline)
            self._push(order.run_id, jobs, pipeline)
            pipeline.execute()

    def add_finish(self, order: Order) -> None:
        """The last step of a run; again and again it is the same job."""
        job = self._job(order, "finish", (), f"{order.run_id}-finish")
        if not Job.exists(job.id, connection=self.redis):
            with self.redis.pipeline() as pipeline:
                self.ledger.reopened(order.run_id, pipeline)
                self._push(order.run_id, [job], pipeline)
                pipeline.execute()

    def open_chunks(self, run_id: str) -> dict[str, tuple[int, ...]]:
        """The tasks of each job of a run that has no result yet."""
        job_ids = sorted(self.ledger.open_jobs(run_id))
        jobs = Job.fetch_many(job_ids, connection=self.redis, serializer=JSONSerializer)
        return {job.id: tuple(job.kwargs["ids"]) for job in jobs if job is not None}

    def existing(self, job_ids: Sequence[str]) -> set[str]:
        """Those that Redis has."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in job_ids:
                pipeline.exists(Job.key_for(job_id))
            found = pipeline.execute()
        return {job_id for job_id, exists in zip(job_ids, found, strict=True) if exists}

    def states(self, run_id: str) -> dict[str, int]:
        """How many jobs of a run are queued, started, and scheduled for another try."""
        counts = dict.fromkeys(("queued", "started", "scheduled"), 0)
        with self.redis.pipeline(transaction=False) as pipeline:
            for job_id in self.ledger.open_jobs(run_id):
                pipeline.hget(Job.key_for(job_id), "status")
            for status in pipeline.execute():
                if status is not None:
                    counts[status.decode()] += 1
        return counts

    def workers(self) -> list[dict[str, str]]:
        """The workers that live and have this model: name, hostname, state, current_job, ..."""
        keys = sorted(get_keys(queue=self.rq))
        with self.redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.hgetall(key)
            found = pipeline.execute()
        return [
            {"name": key.rpartition(":")[2]} | {k.decode(): v.decode() for k, v in facts.items()}
            for key, facts in zip(keys, found, strict=True)
            if facts and b"death" not in facts
        ]

    # ends of a job

    def finished(self, job: Job, execution: Execution | None, chunk: Chunk, tally: Tally) -> None:
        """What came of it; tasks that were not reached become a job that goes first."""
        rest = tuple(tally.left_ids)
        tally.left_ids = []
        parts = {f"{job.id}-r": rest} if rest else {}
        self._settle(job, execution, chunk, JobResult(tally, parts))

    def crashed(self, job: Job, execution: Execution | None, chunk: Chunk, reason: str) -> None:
        """Its worker died, or failed in a way that one of the tasks may have caused."""
        ids = chunk.task_ids
        if len(ids) > 1:
            size = -(-len(ids) // _PARTS)
            starts = range(0, len(ids), size)
            parts = {f"{job.id}-{n}": ids[s : s + size] for n, s in enumerate(starts)}
            self._settle(job, execution, chunk, JobResult(Tally(), parts))
            return
        job.meta["deaths"] = int(job.meta.get("deaths", 0)) + 1
        if job.meta["deaths"] >= MOST_DEATHS and ids:
            self.give_up(job, execution, chunk, reason)
        else:
            self.failed(job, execution, chunk, reason)

    def failed(self, job: Job, execution: Execution | None, chunk: Chunk, reason: str) -> None:
        """It is tried again later, unless it was tried often enough."""
        attempts = job.meta["attempts"] = int(job.meta.get("attempts", 0)) + 1
        if attempts >= MOST_ATTEMPTS:
            self.give_up(job, execution, chunk, reason)
            return
        at_s = time.time() + _AGAIN_AFTER_S[min(attempts, len(_AGAIN_AFTER_S)) - 1]
        with self.redis.pipeline() as pipeline:
            self._drop(job, execution, pipeline, delete=False)
            job.set_status(JobStatus.SCHEDULED, pipeline=pipeline)
            job.save(pipeline=pipeline)
            pipeline.zadd(self.rq.scheduled_job_registry.key, {job.id: at_s})
            pipeline.execute()

    def give_up(self, job: Job, execution: Execution | None, chunk: Chunk, reason: str) -> None:
        """Its tasks go to the list of the dead, with the reason."""
        if chunk.kind == "finish":
            self.closed(job, execution, chunk, reason)
        else:
            tally = Tally(failed=dict.fromkeys(chunk.task_ids, reason))
            self._settle(job, execution, chunk, JobResult(tally, {}))

    def put_back(self, job: Job, execution: Execution | None) -> None:
        """As if it had not been taken."""
        with self.redis.pipeline() as pipeline:
            self._drop(job, execution, pipeline, delete=False)
            self.enqueue(job, pipeline=pipeline, at_front=True)
            pipeline.execute()

    def throw_away(self, job: Job, execution: Execution | None) -> None:
        """A job that nobody here can do."""
        with self.redis.pipeline() as pipeline:
            self._drop(job, execution, pipeline)
            pipeline.execute()

    def closed(self, job: Job, execution: Execution | None, chunk: Chunk, error: str = "") -> None:
        """The last step of a run is done, or given up for a reason."""
        with self.redis.pipeline() as pipeline:
            self.ledger.close(chunk.order.run_id, job.id, error, pipeline)
            self._drop(job, execution, pipeline)
            pipeline.execute()

    def enqueue_due(self) -> None:
        """Jobs that were to be tried again later, and now are."""
        registry = self.rq.scheduled_job_registry
        due = registry.get_jobs_to_schedule()
        jobs = Job.fetch_many(due, connection=self.redis, serializer=JSONSerializer)
        for job_id, job in zip(due, jobs, strict=True):
            with self.redis.pipeline() as pipeline:
                pipeline.zrem(registry.key, job_id)
                if job is not None:
                    self.enqueue(job, pipeline=pipeline)
                pipeline.execute()

    def cancel(self, run_id: str) -> int:
        """Take back the jobs of a run that have not begun; gives the number of their tasks."""
        open_ids = sorted(self.ledger.open_jobs(run_id))
        tasks = 0
        for job in Job.fetch_many(open_ids, connection=self.redis, serializer=JSONSerializer):
            if job is None or job.is_started or Chunk.of(job).kind == "finish":
                continue
            chunk = Chunk.of(job)
            with self.redis.pipeline() as pipeline:
                pipeline.lrem(self.rq.key, 0, job.id)
                pipeline.zrem(self.rq.scheduled_job_registry.key, job.id)
                left = JobResult(Tally(left_ids=list(chunk.task_ids)), {})
                self.ledger.settled(run_id, job.id, left, pipeline)
                pipeline.delete(job.key)
                pipeline.execute()
            tasks += len(chunk.task_ids)
        return tasks

    def _settle(
        self, job: Job, execution: Execution | None, chunk: Chunk, result: JobResult
    ) -> None:
        order, tally = chunk.order, result.tally
        run_id = order.run_id
        rest = {task_id for ids in result.parts.values() for task_id in ids}
        fine = set(chunk.task_ids) - tally.failed.keys() - rest
        new = [self._job(order, chunk.kind, ids, part) for part, ids in result.parts.items()]
        with self.redis.pipeline() as pipeline:
            self.ledger.settled(run_id, job.id, result, pipeline)
            self.ledger.mourned(run_id, tally.failed, fine, pipeline)
            self._drop(job, execution, pipeline)
            if new:
                self._push(run_id, new, pipeline, at_front=True)
            pipeline.execute()
        if not self.ledger.is_open(run_id):
            self.add_finish(order)

    def _drop(
        self, job: Job, execution: Execution | None, pipeline: Pipeline, *, delete: bool = True
    ) -> None:
        """It is no longer worked on."""
        if execution is not None:
            execution.delete(job=job, pipeline=pipeline)
        if delete:
            pipeline.delete(job.key, f"rq:executions:{job.id}")

    def _push(
        self, run_id: str, jobs: Sequence[Job], pipeline: Pipeline, *, at_front: bool = False
    ) -> None:
        for job in jobs:
            self.enqueue(job, pipeline=pipeline, at_front=at_front)
        self.ledger.opened(run_id, [job.id for job in jobs], pipeline)

    def enqueue(self, job: Job, *, pipeline: Pipeline, at_front: bool = False) -> None:
        """As a part of a transaction, which RQ's public method is not made for."""
        pipeline.sadd(self.rq.redis_queues_keys, self.rq.key)
        self.rq._enqueue_job(job, pipeline=pipeline, at_front=at_front)

    def _job(self, order: Order, kind: Kind, ids: Sequence[int], job_id: str) -> Job:
        kwargs: dict[str, Any] = {"kind": kind, "ids": list(ids), "order": order.to_json()}
        about = f"{kind} {len(ids)} tasks of project {order.project_id}"
        return self.rq.create_job(
            "labelvino.chunk", kwargs=kwargs, job_id=job_id, timeout=-1, description=about
        )


def queue_name(model_name: str, model_digest: str) -> str:
    """Of the jobs that want this very model."""
    return f"labelvino:{model_name}:{model_digest[:16]}"
