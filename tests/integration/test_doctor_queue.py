"""`labelvino doctor` looks at the queue of bulk jobs, where there is one, and leaves nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from redis_server import RedisServer
from rq import Queue, Worker

from backend.bulk.chunk import ChunkOptions
from backend.bulk.job_queue import JobQueue
from backend.bulk.order import Order
from backend.bulk.selection import Selection
from backend.cli import cli

AOF = ("--appendonly", "yes")


pytestmark = pytest.mark.usefixtures("no_environment")


def queue_line(monkeypatch: pytest.MonkeyPatch, url: str) -> tuple[str, str]:
    """Status and text of the line about the queue."""
    monkeypatch.setenv("LABELVINO_QUEUE_URL", url)
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    (line,) = [found for found in json.loads(done.stdout) if found["check"] == "queue"]
    assert done.exit_code == (line["status"] == "problem")
    return line["status"], line["text"]


def test_no_queue() -> None:
    done = CliRunner().invoke(cli, ["doctor", "--json"])
    (line,) = [found for found in json.loads(done.stdout) if found["check"] == "queue"]
    assert line["status"] == "ok" and "in its own process" in line["text"]


def test_workers_and_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    server = RedisServer(tmp_path, *AOF)
    status, text = queue_line(monkeypatch, server.url)
    assert status == "ok" and "0 workers, 0 runs under way" in text
    client = server.client()
    assert client.keys() == []
    order = Order(1, "project", "v1", "digest", "options", ChunkOptions(Selection()))
    JobQueue(client, "labelvino:toy:0").plan(order, [("predict", (1, 2, 3))])
    status, text = queue_line(monkeypatch, server.url)
    assert status == "problem"
    assert "0 workers, 1 runs under way: start one, 'labelvino worker" in text
    Worker([Queue("labelvino:toy:0", connection=client)], connection=client).register_birth()
    status, text = queue_line(monkeypatch, server.url)
    assert status == "ok" and "1 workers, 1 runs under way" in text
    server.kill()
    status, text = queue_line(monkeypatch, server.url)
    assert status == "problem" and "does not answer" in text and "LABELVINO_QUEUE_URL" in text


@pytest.mark.parametrize(
    ("options", "status", "remedy"),
    [
        ((), "hint", "start it with --appendonly yes"),
        ((*AOF, "--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"), "problem",
         "set maxmemory-policy volatile-lru"),
        ((*AOF, "--replicaof", "127.0.0.1 9"), "problem", "give its master"),
        ((*AOF, "--requirepass", "opensesame"), "problem", "does not accept user or password"),
    ],
)  # fmt: skip
def test_a_redis_that_does_not_fit(
    options: tuple[str, ...],
    status: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    server = RedisServer(tmp_path, *options)
    found, text = queue_line(monkeypatch, server.url)
    assert found == status
    assert remedy in text
    server.kill()


def test_an_address_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    status, text = queue_line(monkeypatch, "localhost:6379")
    assert status == "problem" and "LABELVINO_QUEUE_URL" in text
