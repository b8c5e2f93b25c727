"""Workers, `prelabel --queue` and `jobs`, with a real Redis and a stub of Label Studio."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis_server import RedisServer
from toy_model import save_toy_model
from worker_site import PASSWORD, TIMEOUT_S, TOKEN, Site

from backend.bulk.jobs_command import cancel_jobs, retry_dead, tell_jobs
from backend.bulk.queue_access import open_queue
from backend.runtime.errors import SettingsError
from backend.settings import environment_names, load_settings
from benchmarks.stub_studio import CONFIG

INSTANCES = [((10, 10, 60, 60), 0.9, 0)]
ALL = dict.fromkeys(range(1, 201), 1)


@pytest.fixture(autouse=True)
def no_settings_of_whoever_runs_this(monkeypatch: pytest.MonkeyPatch) -> None:
    for names in environment_names().values():
        for name in names:
            monkeypatch.delenv(name, raising=False)


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, "--appendonly", "yes", "--requirepass", PASSWORD)
    yield server
    server.kill()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("model") / "toy.xml", INSTANCES)


@pytest.fixture
def site(tmp_path: Path, redis: RedisServer, model: Path) -> Iterator[Site]:
    made = Site(tmp_path, redis, model)
    yield made
    made.close()


def test_workers_do_what_prelabel_plans_and_secrets_stay_out(site: Site) -> None:
    worker = site.start("worker", "worker", "--log-format", "json")
    waiting = site.start("prelabel", "prelabel", "--project", 1, "--json")
    assert waiting.wait(TIMEOUT_S) == 0, site.log("prelabel").read_text()
    summary = json.loads(site.out("prelabel").read_text())
    assert (summary["done"], summary["failed"]) == (200, [])
    assert site.stored() == ALL
    assert site.studio.project["model_version"] == summary["model_version"]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TIMEOUT_S) == 0
    lines = [json.loads(line) for line in site.log("worker").read_text().splitlines()]
    assert any("40 done" in line["message"] for line in lines)
    assert lines[-1]["message"] == "stopped"

    dump = b"".join(site.look.dump(key) or b"" for key in site.look.scan_iter())
    talk = site.log("worker").read_text() + site.log("prelabel").read_text()
    for secret in (TOKEN, PASSWORD):
        assert secret.encode() not in dump
        assert secret not in talk


def test_a_worker_with_another_model_leaves_the_jobs_alone(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = save_toy_model(tmp_path / "other.xml", [*INSTANCES, *INSTANCES])
    site.plan()
    site.work(model=other)
    assert site.stored() == {}
    capsys.readouterr()
    tell_jobs(site.settings(), None, as_json=False)
    assert "no worker has this model, 0 of 200 tasks" in capsys.readouterr().out
    site.work()
    assert site.stored() == ALL


def test_options_come_with_the_jobs(site: Site) -> None:
    site.plan("--limit", "3", "--score-threshold", "0.95", "--label", "person")
    site.work()
    (run,) = site.ledger.runs()
    assert site.ledger.total(run.id).empty == 3  # the instance has 0.9
    versions = {p["model_version"] for found in site.studio.predictions.values() for p in found}
    assert versions == {run.order.model_version}


def test_jobs_lists_retries_and_cancels(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    def listed() -> list[dict[str, Any]]:
        capsys.readouterr()
        tell_jobs(site.settings(), None, as_json=True)
        found = json.loads(capsys.readouterr().out)
        assert isinstance(found, list)
        return found

    assert listed() == []
    site.plan("--limit", "50")
    assert "50 tasks in 2 jobs" in capsys.readouterr().err
    (run,) = listed()
    assert (run["project"], run["tasks"], run["done"]) == (1, 50, 0)
    assert run["jobs"] == {"queued": 2, "started": 0, "scheduled": 0}
    cancel_jobs(site.settings(), 1)
    assert "50 tasks are taken back" in capsys.readouterr().err
    site.work()
    assert site.stored() == {}

    # The config changes meanwhile: refused with the reason, and done when it is as it was.
    site.plan("--limit", "50")
    site.studio.config = CONFIG.replace('"car"', '"lorry"')
    site.work()
    capsys.readouterr()
    tell_jobs(site.settings(), None, as_json=False)
    shown = capsys.readouterr().out
    assert "50 given up" in shown
    assert "and 45 more: the project's labelling config is not the one" in shown
    retry_dead(site.settings(), 2)
    assert "0 tasks" in capsys.readouterr().err
    site.studio.config = CONFIG
    retry_dead(site.settings(), 1)
    site.work()
    assert site.stored() == dict.fromkeys(range(1, 51), 1)
    (run,) = listed()
    assert (run["state"], run["given_up"]) == ("done", [])


def test_a_stopped_worker_writes_what_is_done_and_gives_the_rest_back(site: Site) -> None:
    site.plan("--limit", "40")
    site.studio.image_delay_s = 0.2
    worker = site.start("worker", "worker", LABELVINO_STOP_TIMEOUT="60", THREADS="1")
    site.wait_until(lambda: site.studio.images_sent >= 3, "worker")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TIMEOUT_S) == 0
    assert 2 <= len(site.stored()) < 40, site.log("worker").read_text()
    site.studio.image_delay_s = 0.0
    site.work()
    assert site.stored() == dict.fromkeys(range(1, 41), 1)
    (run,) = site.ledger.runs()
    total = site.ledger.total(run.id)
    assert (total.done, total.skipped, total.left) == (40, 0, 0)


def test_a_worker_that_cannot_end_in_time_gives_its_job_back(site: Site) -> None:
    site.plan("--limit", "40")
    site.studio.write_delay_s = 300.0
    worker = site.start("worker", "worker", LABELVINO_STOP_TIMEOUT="1")
    site.wait_until(lambda: site.studio.writes == 1, "worker")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TIMEOUT_S) == 0
    assert "is back in the queue" in site.log("worker").read_text()
    site.studio.write_delay_s = 0.0
    site.work()
    assert site.stored() == dict.fromkeys(range(1, 41), 1)


def test_a_worker_ends_while_redis_is_away(site: Site, redis: RedisServer) -> None:
    worker = site.start("worker", "worker", LABELVINO_STOP_TIMEOUT="1")
    site.says("worker", "jobs at")
    site.wait_until(lambda: len(site.look.keys("rq:worker:*")) == 1, "worker")
    redis.kill()
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(TIMEOUT_S) == 0
    assert "Traceback" not in site.log("worker").read_text()


def test_ctrl_c_ends_the_waiting_and_not_the_work(site: Site) -> None:
    waiting = site.start("prelabel", "prelabel", "--project", 1)
    site.says("prelabel", "no worker has this model")
    waiting.send_signal(signal.SIGINT)
    assert waiting.wait(TIMEOUT_S) == 130
    assert "Traceback" not in site.log("prelabel").read_text()
    site.work()
    assert site.stored() == ALL
    assert site.studio.project["model_version"].startswith("toy-")


def test_doubles_are_removed_by_the_last_step(site: Site) -> None:
    site.plan("--limit", "40")
    site.studio.writes_twice = True  # as two workers do at the same moment
    site.work()
    assert site.stored() == dict.fromkeys(range(1, 41), 1)


def test_redis_that_forgets_its_jobs_gets_them_again(site: Site) -> None:
    waiting = site.start("prelabel", "prelabel", "--project", 1)
    site.wait_until(lambda: len(site.look.keys("rq:job:*")) == 5, "prelabel")
    site.look.flushall()
    site.says("prelabel", "Redis has lost 5 jobs")
    site.work()
    assert waiting.wait(TIMEOUT_S) == 0
    assert site.stored() == ALL


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://127.0.0.1:1", "does not answer"),
        ("http://127.0.0.1:1", "LABELVINO_QUEUE_URL cannot be used"),
    ],
)
def test_a_queue_that_is_not_there(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        open_queue(load_settings(queue_url=url))
    with pytest.raises(SettingsError, match="no queue is given"):
        open_queue(load_settings())


def test_a_wrong_password_is_told_at_once(site: Site, redis: RedisServer) -> None:
    url = redis.url.replace("//", "//:let-me-in@")
    with pytest.raises(SettingsError, match="user or password") as told:
        open_queue(site.settings(queue_url=url))
    assert "let-me-in" not in str(told.value)


def test_a_redis_that_would_evict_jobs_is_refused(tmp_path: Path) -> None:
    server = RedisServer(tmp_path, "--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru")
    with pytest.raises(SettingsError, match="volatile-lru"):
        open_queue(load_settings(queue_url=server.url))
    server.kill()


def test_a_full_redis_is_told_in_one_sentence(tmp_path: Path, model: Path) -> None:
    server = RedisServer(
        tmp_path, "--maxmemory", "1mb", "--maxmemory-policy", "volatile-lru", "--requirepass",
        PASSWORD,
    )  # fmt: skip
    site = Site(tmp_path, server, model)
    try:
        with pytest.raises(SettingsError, match="maxmemory"):
            site.plan()
    finally:
        site.close()
        server.kill()
