"""What Redis remembers of bulk runs, beside the jobs themselves.

A run is all that is to be done for one project with one model version.

labelvino:bulk:runs            set     ids of runs
labelvino:bulk:<run>           hash    facts: see Run
labelvino:bulk:<run>:open      set     ids of jobs that have no result yet
labelvino:bulk:<run>:results   hash    job id -> what came of it, as JSON; written once
labelvino:bulk:<run>:dead      hash    task id -> the reason why it was given up
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import orjson
from redis import Redis
from redis.client import Pipeline

from backend.bulk.order import Order
from backend.bulk.tally import Tally

PREFIX = "labelvino:bulk:"
RUNS = f"{PREFIX}runs"
_KEPT_S = 30 * 24 * 3600  # after a run has ended

# How long a chunk must wait so that all workers together keep to a rate; Redis' own clock counts.
_PACE = """
local now = redis.call('TIME')
now = now[1] * 1000 + math.floor(now[2] / 1000)
local at = math.max(now, tonumber(redis.call('GET', KEYS[1]) or '0'))
redis.call('SET', KEYS[1], at + ARGV[1], 'PX', at + ARGV[1] - now + 60000)
return at - now
"""


@dataclass(frozen=True)
class Run:
    """`planned`: tasks; `is_closed`: all jobs are done and the project shows the predictions;
    `error`: why that last step failed, or empty."""

    id: str
    order: Order
    queue: str
    planned: int
    begun_s: float
    is_closed: bool
    error: str


@dataclass(frozen=True)
class JobResult:
    """What came of a job: counts, or the jobs that it was split into."""

    tally: Tally
    parts: dict[str, tuple[int, ...]]

    @classmethod
    def from_json(cls, data: bytes) -> JobResult:
        content = orjson.loads(data)
        parts = {job_id: tuple(ids) for job_id, ids in content.get("parts", {}).items()}
        return cls(Tally.from_json(content.get("tally", {})), parts)

    def to_json(self) -> bytes:
        parts = {job_id: list(ids) for job_id, ids in self.parts.items()}
        return orjson.dumps({"tally": self.tally.to_json()} | ({"parts": parts} if parts else {}))


class Ledger:
    """Reads and writes it; with a pipeline, as a part of what the caller does."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self._pace = redis.register_script(_PACE)

    def runs(self) -> list[Run]:
        """All, the newest last."""
        found = []
        for run_id in sorted(_texts(self.redis.smembers(RUNS))):
            run = self.run(run_id)
            if run is None:
                if not self.redis.exists(PREFIX + run_id):  # its time is over
                    self.redis.srem(RUNS, run_id)
            else:
                found.append(run)
        return sorted(found, key=lambda run: run.begun_s)

    def run(self, run_id: str) -> Run | None:
        """None where there is no such run, or it cannot be read."""
        facts = cast(dict[bytes, bytes], self.redis.hgetall(PREFIX + run_id))
        try:
            order = Order.from_json(orjson.loads(facts[b"order"]))
        except (KeyError, TypeError, ValueError):
            return None  # lost, or of another release
        return Run(
            run_id,
            order,
            facts[b"queue"].decode(),
            int(facts[b"planned"]),
            float(facts[b"begun"]),
            facts[b"closed"] == b"1" and not self.is_open(run_id),
            facts[b"error"].decode(),
        )

    def begin(self, order: Order, queue: str, tasks: int, pipeline: Pipeline) -> None:
        """A run begins, or gets more tasks; what an earlier, closed one counted is forgotten."""
        run_id = order.run_id
        before = self.run(run_id)
        facts: dict[Any, Any] = {"order": orjson.dumps(order.to_json()), "queue": queue}
        facts |= {"closed": 0, "error": ""}
        if before is None or (before.is_closed):
            facts |= {"planned": tasks, "begun": time.time()}
            pipeline.delete(self.key(run_id, "results"))
        else:
            facts["planned"] = before.planned + tasks
        pipeline.hset(PREFIX + run_id, mapping=facts)
        pipeline.sadd(RUNS, run_id)
        for name in ("", "open", "results", "dead"):
            pipeline.persist(self.key(run_id, name))

    def reopened(self, run_id: str, pipeline: Pipeline) -> None:
        pipeline.hset(PREFIX + run_id, "closed", 0)

    def opened(self, run_id: str, job_ids: Iterable[str], pipeline: Pipeline) -> None:
        pipeline.sadd(self.key(run_id, "open"), *job_ids)

    def settled(self, run_id: str, job_id: str, result: JobResult, pipeline: Pipeline) -> None:
        """A job has a result; a later one, of the same job done twice, does not count."""
        pipeline.hsetnx(self.key(run_id, "results"), job_id, result.to_json())
        pipeline.srem(self.key(run_id, "open"), job_id)

    def mourned(
        self, run_id: str, failed: dict[int, str], fine: Collection[int], pipeline: Pipeline
    ) -> None:
        """Tasks that are given up, and tasks that are not any more."""
        if failed:
            pipeline.hset(self.key(run_id, "dead"), mapping={str(i): r for i, r in failed.items()})
        if fine:
            pipeline.hdel(self.key(run_id, "dead"), *map(str, fine))

    def close(self, run_id: str, job_id: str, error: str, pipeline: Pipeline) -> None:
        pipeline.srem(self.key(run_id, "open"), job_id)
        pipeline.hset(PREFIX + run_id, mapping={"closed": 1, "error": error})
        for name in ("", "open", "results", "dead"):
            pipeline.expire(self.key(run_id, name), _KEPT_S)

    def open_jobs(self, run_id: str) -> set[str]:
        return set(_texts(self.redis.smembers(self.key(run_id, "open"))))

    def is_open(self, run_id: str) -> bool:
        """Whether any job has no result yet."""
        return bool(self.redis.scard(self.key(run_id, "open")))

    def results(self, run_id: str, job_ids: Sequence[str]) -> dict[str, JobResult]:
        """Of those of the jobs that have one."""
        if not job_ids:
            return {}
        found = self.redis.hmget(self.key(run_id, "results"), list(job_ids))
        pairs = zip(job_ids, cast(list[bytes | None], found), strict=True)
        return {job_id: JobResult.from_json(data) for job_id, data in pairs if data}

    def total(self, run_id: str) -> Tally:
        """What came of all jobs of a run so far."""
        total = Tally()
        for data in cast(list[bytes], self.redis.hvals(self.key(run_id, "results"))):
            total.add(JobResult.from_json(data).tally)
        return total

    def dead(self, run_id: str) -> dict[int, str]:
        """Reason by task."""
        found = cast(dict[bytes, bytes], self.redis.hgetall(self.key(run_id, "dead")))
        return {int(task_id): found[task_id].decode() for task_id in sorted(found, key=int)}

    def wait_s(self, run_id: str, tasks: int, rate: float) -> float:
        """Seconds until so many more tasks may be worked on, for all workers together."""
        wait_ms = self._pace(keys=[self.key(run_id, "pace")], args=[round(tasks / rate * 1000)])
        return int(cast(int, wait_ms)) / 1000

    @staticmethod
    def key(run_id: str, name: str) -> str:
        return f"{PREFIX}{run_id}:{name}" if name else PREFIX + run_id


def _texts(found: object) -> list[str]:
    return [value.decode() for value in cast(Iterable[bytes], found)]
