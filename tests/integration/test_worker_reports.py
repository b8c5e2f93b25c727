"""What workers and a waiting `prelabel --queue` tell: failed tasks in a file, counts, metrics."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis_server import RedisServer
from toy_model import save_toy_model
from worker_site import PASSWORD, TIMEOUT_S, Site

from backend.bulk.tally import Tally
from backend.bulk.worker_metrics import WorkerMetrics
from backend.runtime.errors import SettingsError
from backend.settings import environment_names


@pytest.fixture(autouse=True)
def no_settings_of_whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in environment_names().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    redis = RedisServer(tmp_path, "--appendonly", "yes", "--requirepass", PASSWORD)
    model = save_toy_model(tmp_path / "toy.xml", [((10, 10, 60, 60), 0.9, 0)])
    made = Site(tmp_path, redis, model)
    yield made
    made.close()
    redis.kill()


def sample(metrics: WorkerMetrics, name: str, **labels: str) -> float:
    value = metrics.registry.get_sample_value(name, labels)
    assert value is not None
    return value


def test_failed_tasks_of_workers_stand_in_the_file_and_are_tried_again(
    site: Site, tmp_path: Path
) -> None:
    failed = tmp_path / "failed.json"
    site.studio.damaged = frozenset({7, 50})
    worker = site.start("worker", "worker")
    first = site.start("first", "prelabel", "--project", 1, "--failed", failed, "--limit", 60)
    assert first.wait(TIMEOUT_S) == 1, site.log("first").read_text()
    content = json.loads(failed.read_text())
    assert [entry["task"] for entry in content["failed"]] == [7, 50]
    assert all("not an image" in entry["reason"] for entry in content["failed"])
    assert content["model_version"].startswith("toy-")
    assert site.stored() == dict.fromkeys(set(range(1, 61)) - {7, 50}, 1)

    # One is mended: the same file, tried again, names the other one only.
    site.studio.damaged = frozenset({50})
    again = ("prelabel", "--project", 1, "--retry", failed, "--failed", failed)
    second = site.start("second", *again)
    assert second.wait(TIMEOUT_S) == 1, site.log("second").read_text()
    assert [entry["task"] for entry in json.loads(failed.read_text())["failed"]] == [50]
    site.studio.damaged = frozenset()
    third = site.start("third", *again)
    assert third.wait(TIMEOUT_S) == 0, site.log("third").read_text()
    assert json.loads(failed.read_text())["failed"] == []
    assert site.stored() == dict.fromkeys(range(1, 61), 1)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TIMEOUT_S) == 0


def test_a_worker_answers_prometheus_and_its_log_counts(site: Site) -> None:
    site.studio.damaged = frozenset({3})
    site.plan("--limit", "100")
    worker = site.start("worker", "worker", "--metrics-port", 0)
    site.wait_until(lambda: len(site.stored()) == 99, "worker")
    site.says("worker", "100 tasks so far")
    found = re.search(r"metrics at (http://\S+/metrics)", site.log("worker").read_text())
    assert found
    text = httpx2.get(found[1]).text
    for line in (
        'labelvino_tasks_total{outcome="predicted"} 99.0',
        'labelvino_tasks_total{outcome="failed"} 1.0',
        "labelvino_regions_total 99.0",
        "labelvino_images_total 99.0",
        'labelvino_jobs_total{end="crashed"} 0.0',
        "labelvino_inferences_saved 98.0",  # the stub has one image for all
    ):
        assert line in text
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TIMEOUT_S) == 0


def test_a_port_that_is_taken_is_told_before_the_model_is_loaded(site: Site) -> None:
    taken = int(site.settings().label_studio_url.rpartition(":")[2])
    with pytest.raises(SettingsError, match="choose another --metrics-port"):
        site.work(metrics_port=taken, model=Path("none.xml"))


def test_nothing_done_yet() -> None:
    metrics = WorkerMetrics()
    assert metrics.so_far == "0 tasks so far, 0.0/s"
    assert sample(metrics, "labelvino_tasks_total", outcome="predicted") == 0
    assert sample(metrics, "labelvino_jobs_total", end="done") == 0
    assert sample(metrics, "labelvino_worker_busy") == 0


def test_counts() -> None:
    metrics = WorkerMetrics()
    metrics.begin()
    assert sample(metrics, "labelvino_worker_busy") == 1
    metrics.add(
        Tally(done=5, empty=2, images=5, blank=1, skipped=3, left_ids=[8, 9], failed={4: "x"})
    )
    metrics.end("done")
    metrics.begin()
    metrics.end("put_back")
    tasks = {
        outcome: sample(metrics, "labelvino_tasks_total", outcome=outcome)
        for outcome in ("predicted", "empty", "left_blank", "skipped", "failed", "not_reached")
    }
    assert tasks == {
        "predicted": 3, "empty": 2, "left_blank": 1, "skipped": 3, "failed": 1, "not_reached": 2,
    }  # fmt: skip
    assert sample(metrics, "labelvino_jobs_total", end="done") == 1
    assert sample(metrics, "labelvino_jobs_total", end="put_back") == 1
    assert sample(metrics, "labelvino_worker_busy") == 0
    assert metrics.so_far.startswith("10 tasks so far")
