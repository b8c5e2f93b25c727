"""A worker: takes chunks from the queue, with the model loaded once, until it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import uuid
from types import FrameType

from redis.exceptions import RedisError
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout
from rq.executions import Execution
from rq.job import Job
from rq.serializers import JSONSerializer

from backend.bulk.bench import Bench, WrongOrderError
from backend.bulk.caretaker import HEARTBEAT_S, SILENCE_S, Caretaker
from backend.bulk.job_queue import Chunk, JobQueue
from backend.bulk.worker_metrics import End, WorkerMetrics
from backend.runtime.command_line import DONE, INTERRUPTED
from backend.runtime.errors import LabelvinoError

log = logging.getLogger("labelvino")

WAIT_FOR_JOB_S = 2
_AFTER_REDIS_ERROR_S = 5.0
# Of the time for a stop: tasks under way get the first share, writing what is done the rest.
_TASKS_SHARE = 0.7
_PARTING_S = 1.0


class Worker:
    """One chunk after the other, in this thread; another one says that the worker lives."""

    def __init__(
        self,
        jobs: JobQueue,
        bench: Bench,
        stop_timeout_s: float,
        metrics: WorkerMetrics | None = None,
    ) -> None:
        self._jobs = jobs
        self._bench = bench
        self._stop_timeout_s = stop_timeout_s
        self._metrics = metrics or WorkerMetrics()
        self._caretaker = Caretaker(jobs)
        self._member: SimpleWorker = _Member(
            [jobs.rq],
            name=f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:6]}",
            connection=jobs.redis,
            serializer=JSONSerializer,
            worker_ttl=SILENCE_S,
        )
        self._stop = threading.Event()
        self._ended = threading.Event()  # the work
        self._gone = threading.Event()  # and the farewell
        self._taken: tuple[Job, Execution] | None = None
        self._stopped_by = 0

    @property
    def name(self) -> str:
        return self._member.name

    def run(self, *, burst: bool = False) -> int:
        """Work until SIGTERM or SIGINT; gives the exit code. `burst`: until the queue is empty."""
        before = {
            number: signal.signal(number, self._on_signal)
            for number in (signal.SIGTERM, signal.SIGINT)
        }
        self._member.register_birth()
        beats = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        beats.start()
        try:
            while not self._stop.is_set():
                job = self._next()
                if job is not None:
                    self._work_on(job)
                elif burst:
                    break
        finally:
            self._ended.set()
            self._member.register_death()
            self._gone.set()
            for number, handler in before.items():
                signal.signal(number, handler)
        log.info("stopped")
        return INTERRUPTED if self._stopped_by == signal.SIGINT else DONE

    def _next(self) -> Job | None:
        try:
            self._caretaker.look()
            taken = Queue.dequeue_any(
                [self._jobs.rq],
                WAIT_FOR_JOB_S,
                connection=self._jobs.redis,
                serializer=JSONSerializer,
            )
        except DequeueTimeout:
            return None
        except RedisError as error:  # it answers, but refuses: full, or no permission
            log.error("Redis refuses: %s", error)  # noqa: TRY400 - the sentence is all
            self._stop.wait(_AFTER_REDIS_ERROR_S)
            return None
        return taken[0] if taken else None

    def _work_on(self, job: Job) -> None:
        execution = self._member.prepare_execution(job)
        self._taken = job, execution
        try:
            self._member.prepare_job_execution(job, remove_from_intermediate_queue=True)
            self._settle(job, execution)
        except RedisError as error:
            # The job is given to another worker once this one is silent about it.
            log.error("job %s: Redis refuses: %s", job.id, error)  # noqa: TRY400
            self._stop.wait(_AFTER_REDIS_ERROR_S)
        finally:
            self._taken = None
            self._member.set_current_job_id(None)
            self._member.set_state("idle")

    def _settle(self, job: Job, execution: Execution) -> None:
        jobs = self._jobs
        try:
            chunk = Chunk.of(job)
        except ValueError as error:
            log.error("%s: thrown away", error)  # noqa: TRY400
            jobs.throw_away(job, execution)
            return
        log.info("job %s: %s", job.id, job.description)
        self._metrics.begin()
        end: End = "failed"
        try:
            end = self._do(job, execution, chunk)
        finally:
            self._metrics.end(end)

    def _do(self, job: Job, execution: Execution, chunk: Chunk) -> End:
        jobs = self._jobs
        try:
            if chunk.kind == "finish":
                self._bench.finish(chunk)
                jobs.closed(job, execution, chunk)
                return "done"
            self._keep_pace(chunk)
            tally = self._bench.work(chunk)
        except WrongOrderError as error:
            log.warning("job %s: refused: %s", job.id, error)
            jobs.give_up(job, execution, chunk, str(error))
            return "refused"
        except LabelvinoError as error:
            if self._stop.is_set():
                jobs.put_back(job, execution)
                return "put_back"
            log.warning("job %s: failed: %s", job.id, error)
            jobs.failed(job, execution, chunk, str(error))
            return "failed"
        except RedisError:
            raise
        except Exception as error:
            log.exception("job %s: unexpected error", job.id)
            reason = f"unexpected {type(error).__name__}; see the worker's log"
            jobs.crashed(job, execution, chunk, reason)
            return "crashed"
        self._metrics.add(tally)
        log.info(
            "job %s: %d done, %d failed, %d skipped, %d left; %s",
            job.id, tally.done + tally.blank, len(tally.failed), tally.skipped, tally.left,
            self._metrics.so_far,
        )  # fmt: skip
        jobs.finished(job, execution, chunk, tally)
        return "done"

    def _keep_pace(self, chunk: Chunk) -> None:
        rate = chunk.order.chunk.rate
        if rate is not None:
            run_id, tasks = chunk.order.run_id, len(chunk.task_ids)
            self._stop.wait(self._jobs.ledger.wait_s(run_id, tasks, rate))

    def _beat(self) -> None:
        """Says again and again that this worker lives, and what it does."""
        while not self._ended.wait(HEARTBEAT_S):
            taken = self._taken
            try:
                with self._jobs.redis.pipeline() as pipeline:
                    self._member.heartbeat(SILENCE_S, pipeline)
                    if taken is not None:
                        registry = self._jobs.rq.started_job_registry
                        taken[1].heartbeat(registry, SILENCE_S, pipeline)
                    pipeline.execute()
            except RedisError as error:
                log.warning("the worker cannot say that it lives: %s", error)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self._stop.is_set():
            log.warning("stopped at once; what was under way is given to another worker")
            os._exit(INTERRUPTED if number == signal.SIGINT else DONE)
        self._stopped_by = number
        self._stop.set()
        # Not here, since a signal may interrupt a thread that holds a lock.
        threading.Thread(target=self._let_end, name="stop", daemon=True).start()

    def _let_end(self) -> None:
        """Tasks under way end, what is done is written, the rest goes back to the queue."""
        log.info("stopping: tasks under way get %g s", self._stop_timeout_s)
        self._bench.stop(_TASKS_SHARE * self._stop_timeout_s)
        if self._gone.wait((1 - _TASKS_SHARE) * self._stop_timeout_s):
            return
        # Redis may be away, and would be waited for.
        parting = threading.Thread(target=self._part, name="parting", daemon=True)
        parting.start()
        parting.join(_PARTING_S)
        log.warning("stopped, and did not wait longer")
        logging.shutdown()
        os._exit(INTERRUPTED if self._stopped_by == signal.SIGINT else DONE)

    def _part(self) -> None:
        taken = self._taken
        if taken is not None:
            self._jobs.put_back(*taken)
            log.warning("job %s was not done in time and is back in the queue", taken[0].id)
        self._member.register_death()


class _Member(SimpleWorker):
    """How RQ knows this worker; it shows in RQ's own tools, too."""

    def get_heartbeat_ttl(self, job: Job) -> int:  # noqa: ARG002
        return SILENCE_S
