"""What `labelvino worker` does: loads the model once, and works until it is stopped."""

from __future__ import annotations

import logging

from backend.bulk.bench import Bench
from backend.bulk.job_queue import JobQueue, queue_name
from backend.bulk.queue_access import open_queue, queue_address
from backend.bulk.worker import Worker
from backend.bulk.worker_metrics import WorkerMetrics
from backend.cache_access import open_result_cache
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.serving import open_predictor
from backend.settings import Settings

log = logging.getLogger("labelvino")


def run_worker(settings: Settings, *, burst: bool = False, metrics_port: int | None = None) -> int:
    """Work until SIGTERM or SIGINT; gives the exit code.

    `burst`: until no job waits; `metrics_port`: where Prometheus may ask, 0 for any. Raises
    LabelvinoError where it cannot begin.
    """
    metrics = WorkerMetrics()
    if metrics_port is not None:
        metrics.serve(settings.host, metrics_port)
    redis = open_queue(settings)
    api = open_api(settings)
    with api.client, open_image_fetcher(settings) as source:
        api.user()  # a wrong token is told before the model is loaded
        pool = FairPool(settings.tasks_at_once, in_turn=False)
        cache = open_result_cache(settings)
        try:
            predictor = open_predictor(settings, pool, cache, source=source, throughput=True)
            engine = predictor.engine
            bench = Bench(api, engine, source, predictor.options.limits, pool, cache)
            jobs = JobQueue(redis, queue_name(engine.contract.name, engine.model_digest))
            if cache is not None:
                metrics.cache(cache)
            worker = Worker(jobs, bench, settings.stop_timeout_s, metrics)
            log.info(
                "worker %s: %s on %s in %s, jobs at %s",
                worker.name,
                engine.contract.name,
                ",".join(engine.execution_devices),
                engine.precision,
                queue_address(settings),
            )
            return worker.run(burst=burst)
        finally:
            pool.close()
