"""Bulk jobs through a real Redis into a real Label Studio, while everything breaks."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bulk_tasks import CONFIG, fill, prediction_counts
from conftest import MakeProject
from queue_processes import BulkCommands, QueueProcess, results
from redis.exceptions import ConnectionError as RedisConnectionError
from redis_server import RedisServer
from studio_api import LabelStudio
from studio_server import LEGACY_TOKEN, StudioServer

TASKS = 500
STEP_TIMEOUT_S = 120.0


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--appendonly", "yes")
    yield server
    server.kill()


@pytest.fixture
def commands(redis: RedisServer, studio: StudioServer, tmp_path: Path) -> Iterator[BulkCommands]:
    env = {
        "LABELVINO_QUEUE_URL": redis.url,
        "LABEL_STUDIO_URL": studio.url,
        "LABEL_STUDIO_API_KEY": LEGACY_TOKEN,
        # Each task is to cost an inference.
        "LABELVINO_RESULT_CACHE": "false",
    }
    started = BulkCommands(tmp_path, env)
    yield started
    started.close()


def wait_until(reached: Callable[[], bool], what: str, *processes: QueueProcess) -> None:
    ends_at_s = time.monotonic() + STEP_TIMEOUT_S
    while True:
        try:
            if reached():
                return
        except RedisConnectionError:
            pass  # it is being restarted
        talk = "\n".join(process.talk[-3000:] for process in processes)
        assert all(process.process.poll() is None for process in processes), talk
        assert time.monotonic() < ends_at_s, f"never: {what}\n{talk}"
        time.sleep(0.05)


def is_busy(worker: QueueProcess) -> bool:
    talk = worker.talk
    return talk.count(": predict ") > talk.count(" done, ")


def test_everything_breaks_and_each_task_has_one_prediction(
    api: LabelStudio,
    studio: StudioServer,
    redis: RedisServer,
    commands: BulkCommands,
    make_project: MakeProject,
) -> None:
    project = make_project(CONFIG)
    fill(api, project, TASKS)
    workers = [commands.worker("worker-1"), commands.worker("worker-2")]
    waiting = commands.prelabel("prelabel", project.id)
    look = redis.client()

    wait_until(lambda: results(look) >= 1, "the first result", *workers, waiting)
    wait_until(lambda: is_busy(workers[0]), "a worker in the middle of a chunk", *workers)
    workers[0].kill()
    second = commands.prelabel("second", project.id)
    wait_until(lambda: results(look) >= 3, "more results", workers[1], waiting)
    redis.kill()
    redis.start()
    wait_until(lambda: results(look) >= 5, "results after Redis was back", workers[1], waiting)
    studio.stop()
    studio.start_again()

    assert waiting.ended() == 0, waiting.talk + workers[1].talk
    assert second.ended() == 0, second.talk
    assert prediction_counts(api, project) == {1: TASKS}
    summary = waiting.answer
    assert summary["done"] + summary["skipped"] == TASKS
    assert summary["failed"] == []
    assert "are in the queue already" in second.talk
    assert "is given to another worker" in workers[1].talk
    stored = api.call("GET", f"/api/projects/{project.id}/")
    assert stored["model_version"] == summary["model_version"]
    assert workers[1].stop() == 0
    assert "Traceback" not in workers[1].talk
