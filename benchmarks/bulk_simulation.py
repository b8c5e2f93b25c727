"""Everything of a bulk job but inference, with a stub of the engine and of Label Studio.

    python benchmarks/bulk_simulation.py [TASKS ...]

For each number of tasks (1000, 10000 and 100000): time and memory of planning, memory of the queue
in a Redis of its own, tasks a second of two workers and their CPU time (without that of the stub,
which takes as much). The stub engine gives an instance an image at once; images (160x120) are
fetched and decoded, outlines drawn, predictions written.
"""

from __future__ import annotations

import multiprocessing
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np
from redis import Redis

from backend.bulk.bench import Bench
from backend.bulk.chunk import ChunkOptions
from backend.bulk.job_queue import JobQueue, queue_name
from backend.bulk.order import Order, config_digest, options_text
from backend.bulk.queue_access import open_queue
from backend.bulk.queued import QueuedPrelabelling
from backend.bulk.selection import Selection
from backend.bulk.worker import WAIT_FOR_JOB_S, Worker
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.candidates import Candidates
from backend.runtime.contract import Label, ModelContract, ResizeRule
from backend.runtime.engine import Engine, RawOutputs, select
from backend.runtime.image import DecodedImage, ImageLimits
from backend.runtime.resize import resize_image
from backend.settings import Settings, load_settings

HERE = Path(__file__).resolve().parent
WORKERS = 2
DIGEST = "0" * 64


CONTRACT = ModelContract(
    name="stub",
    labels=(Label(1, "person"), Label(2, "car")),
    resize=ResizeRule.parse("none"),
    mask_frame="box",
    family="stub",
    source_format="stub",
    source_digest="0",
    converter_version="0",
    precision="f32",
)


class StubEngine(Engine):
    """An instance in every image, without a model."""

    precision = "f32"
    execution_devices = ("STUB",)
    requests = WORKERS

    def __init__(self) -> None:
        self.contract, self.model_digest = CONTRACT, DIGEST
        y, x = np.mgrid[-1:1:28j, -1:1:28j]
        disc = (x**2 + y**2 < 0.9).astype(np.float32)
        box = np.array([[12, 10, 62, 75, 0.9]], np.float32)
        self._raw = RawOutputs(box, np.array([0]), disc[None])

    def candidates(self, image: DecodedImage, floor_score: float, most: int) -> Candidates:
        _, geometry = resize_image(image, self.contract.resize)
        return select(self._raw, geometry, self.contract, floor_score, most)


@dataclass(frozen=True)
class Place:
    """Where a child process finds the stubs."""

    studio_url: str
    redis_url: str

    def settings(self) -> Settings:
        return load_settings(
            label_studio_url=self.studio_url, label_studio_api_key="0" * 40,
            queue_url=self.redis_url, workers=4,
        )  # fmt: skip


def plan(place: Place, answers: Queue[Any]) -> None:
    """Seconds to choose and to enqueue, and how much memory grew by it (MB)."""
    settings = place.settings()
    api = open_api(settings)
    pool = FairPool(1)
    predictor = Predictor(StubEngine(), open_image_fetcher(settings), PredictorOptions(), pool)
    project = api.project("1")
    config_plan = predictor.plan(project.label_config)
    order = Order(
        1, project.title, config_plan.model_version, config_digest(project.label_config),
        options_text(PredictorOptions()), ChunkOptions(Selection()),
    )  # fmt: skip
    jobs = JobQueue(open_queue(settings), queue_name("stub", DIGEST))
    queued = QueuedPrelabelling(api, project, config_plan, order, jobs)
    before_mb = _peak_mb()
    began_s = time.perf_counter()
    chosen = queued.make_plan()
    chosen_s = time.perf_counter()
    queued.enqueue(chosen)
    ended_s = time.perf_counter()
    answers.put((chosen_s - began_s, ended_s - chosen_s, _peak_mb() - before_mb))
    pool.close()


def work(place: Place, answers: Queue[Any]) -> None:
    """One worker, until the queue is empty; seconds, CPU seconds, and peak memory (MB)."""
    settings = place.settings()
    pool = FairPool(settings.tasks_at_once, in_turn=False)
    api = open_api(settings)
    bench = Bench(api, StubEngine(), open_image_fetcher(settings), ImageLimits(), pool)
    jobs = JobQueue(open_queue(settings), queue_name("stub", DIGEST))
    began_s, cpu_s = time.perf_counter(), time.process_time()
    Worker(jobs, bench, 8.0).run(burst=True)
    took_s = time.perf_counter() - began_s - WAIT_FOR_JOB_S
    answers.put((took_s, time.process_time() - cpu_s, _peak_mb()))
    pool.close()


def main() -> None:
    sizes = [int(text) for text in sys.argv[1:]] or [1_000, 10_000, 100_000]
    columns = (
        "tasks", "choosing, s", "enqueuing, s", "memory of both, MB", "queue in Redis, MB",
        "two workers, tasks/s", "CPU ms a task", "peak of a worker, MB",
    )  # fmt: skip
    _row(*columns)
    _row(*["---"] * len(columns))
    for tasks in sizes:
        with _stubs(tasks) as place:
            redis = Redis.from_url(place.redis_url)
            empty = redis.info("memory")["used_memory"]
            choosing_s, enqueuing_s, planning_mb = _children(plan, place, 1)[0]
            queue_mb = (redis.info("memory")["used_memory"] - empty) / 1e6
            worked = _children(work, place, WORKERS)
            redis.close()
        times = f"{choosing_s:.2f}", f"{enqueuing_s:.2f}", f"{planning_mb:.1f}", f"{queue_mb:.2f}"
        seconds, cpu_s, peaks_mb = zip(*worked, strict=True)
        cpu_ms = sum(cpu_s) / tasks * 1000
        rate = f"{tasks / max(seconds):.0f}", f"{cpu_ms:.2f}", f"{max(peaks_mb):.0f}"
        _row(f"{tasks:,}", *times, *rate)


def _row(*cells: str) -> None:
    print("|", " | ".join(cells), "|", flush=True)


def _children(run: Callable[..., None], place: Place, number: int) -> list[Any]:
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    running = [context.Process(target=run, args=(place, answers)) for _ in range(number)]
    for process in running:
        process.start()
    found = [answers.get() for _ in running]
    for process in running:
        process.join()
    return found


@contextmanager
def _stubs(tasks: int) -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        port_file, socket = folder / "port", folder / "redis.sock"
        program = shutil.which("redis-server")
        if program is None:
            raise SystemExit("no redis-server is installed")
        options = ["--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "yes"]
        command = [program, *options, "--dir", folder]
        redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603
        stub = [sys.executable, HERE / "stub_studio.py", str(tasks), port_file]
        studio = subprocess.Popen(stub)  # noqa: S603
        try:
            while not (socket.exists() and port_file.exists() and port_file.read_text()):
                time.sleep(0.05)
            yield Place(f"http://127.0.0.1:{port_file.read_text()}", f"unix://{socket}")
        finally:
            for process in (studio, redis):
                process.terminate()
                process.wait()


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
