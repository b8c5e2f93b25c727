"""Tuned thresholds in a real Redis, which may be foreign, locked or gone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from redis_server import RedisServer

from backend.redis_store import RETRY_AFTER_S, connect_redis
from backend.tuned.reader import TunedReader
from backend.tuned.record import TunedRecord
from backend.tuned.redis_hashes import NAMESPACE, TunedHashes
from backend.tuned.store import StateError

PROJECT, MODEL, OTHER = "7.1795219680", "ab" * 32, "cd" * 32
LABELS = ("person", "car")


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    running = RedisServer(tmp_path, "--appendonly", "yes")
    yield running
    running.kill()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(server: RedisServer, clock: Clock) -> Iterator[TunedHashes]:
    made = TunedHashes(connect_redis(server.url), "the.redis:6379", clock=clock)
    yield made
    made.close()


def record(value: float = 0.3, model: str = MODEL) -> bytes:
    thresholds = {"person": value}
    return TunedRecord(PROJECT, model, thresholds, 50, "f1", "2026-11-21T08:00:00+00:00").to_bytes()


def test_nothing_there(store: TunedHashes) -> None:
    assert store.of_project(PROJECT, MODEL) is None
    assert (store.models(PROJECT), store.projects()) == ({}, {})
    assert store.remove(PROJECT, MODEL) is False


def test_there_and_back(store: TunedHashes) -> None:
    store.put(PROJECT, MODEL, record())
    store.put(PROJECT, OTHER, record(0.4, OTHER))
    assert store.of_project(PROJECT, MODEL) == record()
    assert sorted(store.models(PROJECT)) == [MODEL[:16], OTHER[:16]]
    assert len(store.projects()) == 2
    assert store.remove(PROJECT, MODEL) is True
    assert store.of_project(PROJECT, MODEL) is None


def test_a_record_in_place_of_the_one_that_was_read(store: TunedHashes) -> None:
    assert store.put(PROJECT, MODEL, record(0.1), instead_of=record(0.2)) is False
    assert store.projects() == {}
    assert store.put(PROJECT, MODEL, record(0.1), instead_of=None) is True
    assert store.put(PROJECT, MODEL, record(0.2), instead_of=None) is False
    assert store.of_project(PROJECT, MODEL) == record(0.1)
    assert store.put(PROJECT, OTHER, record(0.3, OTHER)) is True  # in the same hash
    assert store.put(PROJECT, MODEL, record(0.2), instead_of=record(0.1)) is True
    assert store.of_project(PROJECT, MODEL) == record(0.2)


def test_one_of_several_that_read_the_same_record(store: TunedHashes) -> None:
    def put(number: int) -> bool:
        return store.put(PROJECT, MODEL, record(number / 100), instead_of=None)

    with ThreadPoolExecutor(8) as threads:
        assert sorted(threads.map(put, range(32)))[-2:] == [False, True]


def test_what_is_no_project_is_no_key(store: TunedHashes) -> None:
    with pytest.raises(ValueError, match="no project"):
        store.put("*", MODEL, b"")


def test_of_another_model(store: TunedHashes, caplog: pytest.LogCaptureFixture) -> None:
    store.put(PROJECT, OTHER, record(0.4, OTHER))
    assert TunedReader(store).of(PROJECT, MODEL, LABELS) == {}
    assert "of another model" in caplog.text


def test_a_foreign_value_costs_its_own_project_only(
    server: RedisServer, store: TunedHashes, caplog: pytest.LogCaptureFixture
) -> None:
    with server.client() as redis:
        redis.set(NAMESPACE + "8.1", b"x")
    store.put(PROJECT, MODEL, record())
    reader = TunedReader(store)
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert reader.of("8.1", MODEL, LABELS) == {}
        assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}
    assert caplog.text.count("WRONGTYPE") == 1
    assert "read again" not in caplog.text


def test_redis_that_goes_and_comes_back(
    server: RedisServer, store: TunedHashes, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(PROJECT, MODEL, record())
    reader = TunedReader(store)
    assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}
    server.kill()
    assert [reader.of(PROJECT, MODEL, LABELS) for _ in range(3)] == [{"person": 0.3}] * 3
    assert caplog.text.count("does not give or take") == 1
    for write in (lambda: store.put(PROJECT, MODEL, b""), lambda: store.remove(PROJECT, MODEL)):
        with pytest.raises(StateError, match=r"the\.redis:6379"):
            write()
    server.start()
    assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.3}  # left alone for a while
    store.put(PROJECT, MODEL, record(0.4))
    clock.now_s += RETRY_AFTER_S
    with caplog.at_level(logging.INFO):
        assert reader.of(PROJECT, MODEL, LABELS) == {"person": 0.4}
    assert "can be read again" in caplog.text
