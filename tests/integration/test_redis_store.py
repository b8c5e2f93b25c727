"""The result cache with a real redis-server, which may be damaged, full, locked or gone."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis_server import RedisServer

from backend.redis_store import NAMESPACE, RETRY_AFTER_S, RedisStore, connect_redis
from backend.result_cache import CacheCounts
from backend.runtime.candidates import Candidates
from backend.runtime.engine import select
from tests.toy_model import toy_contract
from tests.unit.runtime.test_candidates import SAME, assert_equal, raw_outputs


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path_factory.mktemp("redis"))
    yield running
    running.kill()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def counts() -> CacheCounts:
    return CacheCounts()


def open_store(
    url: str, clock: Clock, counts: CacheCounts, *, ttl_s: int = 60, max_value_bytes: int = 10**6
) -> RedisStore:
    return RedisStore(
        connect_redis(url), "the address", ttl_s=ttl_s, max_value_bytes=max_value_bytes,
        on_error=counts.add, clock=clock,
    )  # fmt: skip


@pytest.fixture
def store(server: RedisServer, clock: Clock, counts: CacheCounts) -> Iterator[RedisStore]:
    opened = open_store(server.url, clock, counts)
    yield opened
    opened.close()
    server.client().flushall()


def found(n: int = 2) -> Candidates:
    return select(raw_outputs([0.9, 0.4][:n], "box", seed=3), SAME, toy_contract(), 0.05, 300)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("n", [0, 2])
def test_what_is_put_can_be_got(n: int, store: RedisStore, server: RedisServer) -> None:
    assert store.get("k") is None
    store.put("k", found(n))
    again = store.get("k")
    assert again is not None and len(again) == n
    assert_equal(again.detections(0.05, 300), found(n).detections(0.05, 300))
    look = server.client()
    assert look.keys() == [f"{NAMESPACE}k".encode()]
    assert 0 < look.ttl(f"{NAMESPACE}k") <= 60
    look.close()


def test_values_that_are_too_large_stay_out(
    server: RedisServer, clock: Clock, counts: CacheCounts
) -> None:
    store = open_store(server.url, clock, counts, max_value_bytes=500)
    store.put("k", found())
    assert store.get("k") is None
    store.put("k", found(0))
    assert store.get("k") is not None
    store.close()
    server.client().flushall()


def test_damaged_and_foreign_values_are_misses_with_a_warning(
    store: RedisStore, server: RedisServer, counts: CacheCounts, caplog: pytest.LogCaptureFixture
) -> None:
    look = server.client()
    store.put("k", found())
    good = look.get(f"{NAMESPACE}k")
    assert isinstance(good, bytes)
    for value in (good[:-1], b"\x80\x04pickle", b""):
        look.set(f"{NAMESPACE}k", value)
        assert store.get("k") is None
    look.set(f"{NAMESPACE}other", good)
    assert store.get("other") is None
    look.delete(f"{NAMESPACE}k")
    look.rpush(f"{NAMESPACE}k", "a list")
    assert store.get("k") is None
    assert len(warnings(caplog)) == 5
    assert all("computed anew" in text for text in warnings(caplog))
    assert counts.snapshot() == {("redis", "error"): 5}
    # It heals, and Redis is not taken for broken.
    store.put("k", found())
    assert store.get("k") is not None
    look.close()


def test_killed_in_mid_run(
    tmp_path: Path, clock: Clock, counts: CacheCounts, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    store = open_store(server.url, clock, counts)
    store.put("k", found())
    server.kill()
    for _ in range(5):
        assert store.get("k") is None
        store.put("k", found())
    (warning,) = warnings(caplog)
    assert "the address does not work" in warning and "labelvino doctor" in warning
    assert counts.snapshot() == {("redis", "error"): 1}  # asked once, not ten times

    clock.now_s = RETRY_AFTER_S
    assert store.get("k") is None
    assert counts.snapshot() == {("redis", "error"): 2}
    assert len(warnings(caplog)) == 1

    server.start()
    store.put("k", found())
    assert store.get("k") is None  # still left alone
    clock.now_s = 2 * RETRY_AFTER_S
    caplog.set_level(logging.INFO)
    store.put("k", found())
    assert store.get("k") is not None
    assert any("answers again" in record.getMessage() for record in caplog.records)
    # A connection that a restart has cut is made anew without a word.
    server.kill()
    server.start()
    assert store.get("k") is None
    assert len(warnings(caplog)) == 1
    server.kill()
    store.close()


def test_not_there_at_the_start(
    clock: Clock, counts: CacheCounts, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, but nobody listens
        store = open_store(f"redis://127.0.0.1:{taken.getsockname()[1]}", clock, counts)
        assert store.get("k") is None
        store.put("k", found())
    assert len(warnings(caplog)) == 1


def test_a_server_that_never_answers(
    clock: Clock, counts: CacheCounts, caplog: pytest.LogCaptureFixture
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)
        store = open_store(f"redis://127.0.0.1:{silent.getsockname()[1]}", clock, counts)
        answers: list[Candidates | None] = []
        thread = threading.Thread(target=lambda: answers.append(store.get("k")), daemon=True)
        thread.start()
        thread.join(30)
        assert answers == [None]
        store.close()
    assert "Timeout" in warnings(caplog)[0]


def test_a_password_is_wanted_and_never_told(
    tmp_path: Path, clock: Clock, counts: CacheCounts, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path, "--requirepass", "opensesame")
    for url, works in (
        (server.url, False),
        (server.url.replace("//", "//:wrong-word@"), False),
        (server.url.replace("//", "//:opensesame@"), True),
    ):
        store = open_store(url, clock, counts)
        store.put("k", found())
        assert (store.get("k") is not None) == works
        store.close()
    assert len(warnings(caplog)) == 2
    assert "wrong-word" not in caplog.text
    server.kill()


def test_a_full_redis_costs_only_the_cache(
    tmp_path: Path, clock: Clock, counts: CacheCounts, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path, "--maxmemory", "100", "--maxmemory-policy", "noeviction")
    store = open_store(server.url, clock, counts)
    store.put("k", found())
    assert store.get("k") is None
    (warning,) = warnings(caplog)
    assert "maxmemory" in warning
    store.close()
    server.kill()
