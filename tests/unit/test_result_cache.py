"""The result cache: bounded, computed once, never an answer that is too short."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from backend.address_memory import AddressMemory
from backend.cache_access import open_result_cache
from backend.memory_store import MemoryStore
from backend.result_cache import ResultCache, result_key
from backend.runtime.candidates import Candidates
from backend.runtime.errors import InferenceError, SettingsError
from backend.runtime.resize import ResizeGeometry
from backend.settings import load_settings

pytestmark = pytest.mark.usefixtures("no_environment")


def candidates(n: int = 1, floor_score: float = 0.05) -> Candidates:
    """`n` boxes of score 0.5, without masks."""
    return Candidates(
        ResizeGeometry(10, 10, 10, 10, 10, 10), None, np.zeros((n, 4), np.float32),
        np.full(n, 0.5, np.float32), np.zeros(n, np.int64), None, floor_score, 1000,
    )  # fmt: skip


def cache(*stores: MemoryStore) -> ResultCache:
    return ResultCache(stores, AddressMemory(60))


def needs(min_score: float) -> Callable[[Candidates], bool]:
    return lambda found: found.can_answer(min_score, 300)


def never() -> Candidates:
    raise AssertionError("computed, although it was there")


def test_no_store_computes_each_time() -> None:
    nothing = cache()
    asked: list[int] = []
    for _ in range(2):
        nothing.get("k", needs(0.5), lambda: asked.append(1) or candidates(0))  # type: ignore[func-returns-value]
    assert asked == [1, 1]
    assert nothing.counts.snapshot() == {}


def test_the_second_time_comes_from_memory_even_if_nothing_was_found() -> None:
    kept = cache(MemoryStore(10_000))
    first = kept.get("k", needs(0.5), lambda: candidates(0))
    assert kept.get("k", needs(0.3), never) is first
    assert kept.counts.snapshot() == {("memory", "miss"): 1, ("memory", "hit"): 1}


def test_a_lower_need_is_computed_anew_and_then_answers_both() -> None:
    kept = cache(MemoryStore(10_000))
    kept.get("k", needs(0.5), candidates)
    low = kept.get("k", needs(0.01), lambda: candidates(2, 0.01))
    assert kept.get("k", needs(0.01), never) is low
    assert kept.get("k", needs(0.5), never) is low


def test_keys_differ_in_image_model_and_precision() -> None:
    keys = {result_key(i, m, p) for i in "ab" for m in "cd" for p in ("f32", "bf16")}
    assert len(keys) == 8


def test_memory_is_bounded_and_the_oldest_go() -> None:
    size = 1024 + 256 + candidates().size_bytes
    store = MemoryStore(3 * size)
    for key in "abc":
        store.put(key, candidates())
    assert store.get("a") is not None  # used last
    store.put("d", candidates())
    assert [key for key in "abcd" if store.get(key)] == ["a", "c", "d"]
    store.put("d", candidates())  # the same again takes no more room
    assert store.size_bytes == 3 * size
    store.put("e", candidates(100))
    assert store.get("e") is None
    assert store.get("a") is not None


def test_two_at_the_same_time_compute_once() -> None:
    kept = cache()  # no store: only the thread that computes has it
    started, release = threading.Event(), threading.Event()

    def slow() -> Candidates:
        started.set()
        assert release.wait(10)
        return candidates()

    with ThreadPoolExecutor() as pool:
        first = pool.submit(kept.get, "k", needs(0.5), slow)
        assert started.wait(10)
        others = [pool.submit(kept.get, "k", needs(0.5), never) for _ in range(3)]
        lower = pool.submit(kept.get, "k", needs(0.01), lambda: candidates(2, 0.01))
        # Another image does not wait.
        assert len(kept.get("other", needs(0.5), lambda: candidates(3))) == 3
        release.set()
        assert all(other.result(10) is first.result(10) for other in others)
        assert len(lower.result(10)) == 2


def test_a_failure_is_not_kept_and_the_waiting_try_themselves() -> None:
    kept = cache(MemoryStore(10_000))
    started, release = threading.Event(), threading.Event()

    def fails() -> Candidates:
        started.set()
        assert release.wait(10)
        raise InferenceError("the device failed.")

    with ThreadPoolExecutor() as pool:
        first = pool.submit(kept.get, "k", needs(0.5), fails)
        assert started.wait(10)
        second = pool.submit(kept.get, "k", needs(0.5), candidates)
        release.set()
        with pytest.raises(InferenceError):
            first.result(10)
        assert len(second.result(10)) == 1


def test_many_threads_and_little_room() -> None:
    size = 1024 + 256 + candidates().size_bytes
    store = MemoryStore(2 * size)
    kept = cache(store)

    def ask(i: int) -> None:
        assert len(kept.get(f"{i % 5}", needs(0.5), candidates)) == 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(400)))
    assert store.size_bytes <= 2 * size


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_an_address_is_remembered_for_its_task_and_not_for_long() -> None:
    clock = Clock()
    memory = AddressMemory(60, max_entries=2, clock=clock)
    assert memory.get(1, "s3://a") is None
    memory.put(1, "s3://a", "digest")
    assert memory.get(1, "s3://a") == "digest"
    assert memory.get(2, "s3://a") is None  # that task's project may not have the storage
    assert memory.get(None, "s3://a") is None
    clock.now_s = 59
    assert memory.get(1, "s3://a") == "digest"  # asking makes it live no longer
    clock.now_s = 60
    assert memory.get(1, "s3://a") is None


def test_addresses_are_bounded_and_can_be_switched_off() -> None:
    memory = AddressMemory(60, max_entries=2)
    for i in range(3):
        memory.put(i, "u", "d")
    assert [memory.get(i, "u") for i in range(3)] == [None, "d", "d"]
    off = AddressMemory(0)
    off.put(1, "u", "d")
    assert off.get(1, "u") is None


def test_settings_choose_the_stores() -> None:
    kept = open_result_cache(load_settings())
    assert kept is not None and [store.name for store in kept.stores] == ["memory"]
    assert open_result_cache(load_settings(result_cache=False)) is None
    both = open_result_cache(load_settings(redis_url="redis://127.0.0.1:9"))
    assert both is not None and [store.name for store in both.stores] == ["memory", "redis"]
    only = open_result_cache(load_settings(redis_url="redis://127.0.0.1:9", result_cache_bytes=0))
    assert only is not None and [store.name for store in only.stores] == ["redis"]


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://u:hush@h",
        "redis://h:port",
        "redis://u:hush@h/x",
        "redis://u:hush@h?decode_responses=True",
    ],
)
def test_an_address_that_is_none_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="LABELVINO_REDIS_URL") as caught:
        open_result_cache(load_settings(redis_url=url))
    assert "hush" not in str(caught.value)
