"""Looks after jobs whose worker has died, and after what else would be left lying."""

from __future__ import annotations

import logging
import time
from typing import cast

from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.bulk.job_queue import Chunk, JobQueue

log = logging.getLogger("labelvino")

HEARTBEAT_S = 5.0
SILENCE_S = 25  # of a worker, after which it counts as dead
LOOK_EVERY_S = 5.0
_STRAY_S = 10.0  # taken out of the queue, but never begun
_GHOSTS_EVERY_S = 60.0

DIED = "the worker that was busy with it died, perhaps by this very task: see that worker's log"


class Caretaker:
    """One look every few seconds, by any of the workers."""

    def __init__(self, jobs: JobQueue) -> None:
        self._jobs = jobs
        self._redis = jobs.redis
        self._lock = f"{jobs.rq.key}:labelvino-care"
        self._next_s = 0.0
        self._ghosts_s = 0.0
        self._strays: dict[str, float] = {}

    def look(self) -> None:
        """Does nothing where it, or another one, has looked a moment ago."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return
        self._next_s = now_s + LOOK_EVERY_S
        if not self._redis.set(self._lock, 1, nx=True, px=int(LOOK_EVERY_S * 800)):
            return
        self._jobs.enqueue_due()
        self._find_the_dead()
        self._find_strays(now_s)
        self._close_runs(ghosts=now_s >= self._ghosts_s)
        if now_s >= self._ghosts_s:
            self._ghosts_s = now_s + _GHOSTS_EVERY_S

    def _find_the_dead(self) -> None:
        """A worker that lives renews the key of what it does, by Redis' own clock."""
        registry = self._jobs.rq.started_job_registry
        found = cast(list[bytes], self._redis.zrange(registry.key, 0, -1))
        begun = [Execution.from_composite_key(entry.decode(), self._redis) for entry in found]
        dead = [execution for execution in begun if not self._redis.exists(execution.key)]
        if not dead or self._redis_has_just_begun():
            return
        for execution in dead:
            job = self._job(execution.job_id)
            if job is None:
                self._redis.zrem(registry.key, execution.composite_key)
                continue
            try:
                chunk = Chunk.of(job)
            except ValueError:
                self._jobs.throw_away(job, execution)
                continue
            log.warning(
                "job %s (%s) is given to another worker: the one that had it has been silent for "
                "%d s",
                job.id, job.description, SILENCE_S,
            )  # fmt: skip
            self._jobs.crashed(job, execution, chunk, DIED)

    def _redis_has_just_begun(self) -> bool:
        """Then nobody could tell it anything for a while."""
        return int(self._redis.info("server")["uptime_in_seconds"]) < SILENCE_S

    def _find_strays(self, now_s: float) -> None:
        """Jobs of a worker that died between taking and beginning."""
        rq = self._jobs.rq
        taken = cast(list[bytes], self._redis.lrange(rq.intermediate_queue_key, 0, -1))
        job_ids = [entry.decode() for entry in taken]
        self._strays = {job_id: self._strays.get(job_id, now_s) for job_id in job_ids}
        for job_id, seen_s in self._strays.items():
            if now_s - seen_s < _STRAY_S:
                continue
            job = self._job(job_id)
            with self._redis.pipeline() as pipeline:
                pipeline.lrem(rq.intermediate_queue_key, 1, job_id)
                if job is not None:
                    self._jobs.enqueue(job, pipeline=pipeline, at_front=True)
                pipeline.execute()

    def _close_runs(self, *, ghosts: bool) -> None:
        """Runs whose last step nobody has begun; `ghosts`: look for jobs that Redis has lost."""
        for run in self._jobs.ledger.runs():
            if run.queue != self._jobs.rq.name or run.is_closed:
                continue
            if ghosts:
                self._forget_ghosts(run.id)
            if not self._jobs.ledger.is_open(run.id):
                self._jobs.add_finish(run.order)

    def _forget_ghosts(self, run_id: str) -> None:
        open_ids = self._jobs.ledger.open_jobs(run_id)
        gone = open_ids - self._jobs.existing(sorted(open_ids))
        if gone:
            self._redis.srem(self._jobs.ledger.key(run_id, "open"), *gone)

    def _job(self, job_id: str) -> Job | None:
        (job,) = Job.fetch_many([job_id], connection=self._redis, serializer=JSONSerializer)
        return job
