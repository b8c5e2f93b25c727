"""What a worker has done since it began: for its log, and for Prometheus where a port is given."""

from __future__ import annotations

import logging
import time
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, start_http_server

from backend.bulk.tally import Tally
from backend.result_cache import ResultCache
from backend.runtime.errors import SettingsError

log = logging.getLogger("labelvino")

End = Literal["done", "failed", "crashed", "refused", "put_back"]
_ENDS: tuple[End, ...] = ("done", "failed", "crashed", "refused", "put_back")
_OUTCOMES = ("predicted", "empty", "left_blank", "skipped", "failed", "not_reached")


class WorkerMetrics:
    """Counters of one worker process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._tasks = Counter(
            "labelvino_tasks", "Tasks by outcome.", ["outcome"], registry=self.registry
        )
        self._jobs = Counter(
            "labelvino_jobs", "Jobs by how they ended.", ["end"], registry=self.registry
        )
        self._regions = Counter("labelvino_regions", "Regions written.", registry=self.registry)
        self._images = Counter("labelvino_images", "Images looked at.", registry=self.registry)
        self._seconds = Counter(
            "labelvino_job_seconds", "Time spent on jobs.", registry=self.registry
        )
        self._busy = Gauge(
            "labelvino_worker_busy", "1 while a job is worked on.", registry=self.registry
        )
        for outcome in _OUTCOMES:
            self._tasks.labels(outcome)
        for end in _ENDS:
            self._jobs.labels(end)
        self._settled = 0
        self._worked_s = 0.0
        self._began_s: float | None = None

    def cache(self, cache: ResultCache) -> None:
        """Show how many inferences the result cache has saved."""
        saved = Gauge("labelvino_inferences_saved", "By the result cache.", registry=self.registry)
        saved.set_function(lambda: cache.remembered)

    def begin(self) -> None:
        """A job is taken."""
        self._began_s = time.monotonic()
        self._busy.set(1)

    def end(self, end: End) -> None:
        """It has ended, one way or the other."""
        if self._began_s is not None:
            took_s = time.monotonic() - self._began_s
            self._worked_s += took_s
            self._seconds.inc(took_s)
        self._began_s = None
        self._busy.set(0)
        self._jobs.labels(end).inc()

    def add(self, tally: Tally) -> None:
        """What came of the tasks of a job."""
        counts = (
            tally.done - tally.empty,
            tally.empty,
            tally.blank,
            tally.skipped,
            len(tally.failed),
            tally.left,
        )
        for outcome, count in zip(_OUTCOMES, counts, strict=True):
            self._tasks.labels(outcome).inc(count)
        self._regions.inc(sum(tally.labels.values()))
        self._images.inc(tally.images)
        self._settled += tally.tasks - tally.left

    @property
    def so_far(self) -> str:
        """A few words for the log: tasks since the start, and how fast while there was work."""
        worked_s = self._worked_s
        if self._began_s is not None:
            worked_s += time.monotonic() - self._began_s
        return f"{self._settled} tasks so far, {self._settled / max(worked_s, 1e-9):.1f}/s"

    def serve(self, host: str, port: int) -> None:
        """Answer Prometheus at this address, in a thread of its own, until the process ends.

        Raises SettingsError where the port cannot be had.
        """
        try:
            server, _ = start_http_server(port, host, self.registry)
        except OSError as error:
            raise SettingsError(
                f"cannot listen on {host}:{port} ({error.strerror or error}): choose another "
                "--metrics-port."
            ) from error
        log.info("metrics at http://%s:%d/metrics", host, server.server_port)
