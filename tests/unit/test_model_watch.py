"""When the model's files are loaded again, and what a bad one costs."""

from __future__ import annotations

import logging
import os
import time
import weakref
from pathlib import Path

import pytest

from backend.fair_pool import FairPool
from backend.model_slot import ModelSlot
from backend.model_watch import ModelWatch, file_stamp
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.engine import Engine
from backend.runtime.errors import ContractError, FetchError
from tests.toy_model import save_toy_model, toy_contract

POOL = FairPool(1)


class NoImages:
    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        raise FetchError("none here.")


def toy(path: Path, name: str) -> Path:
    return save_toy_model(path, [((1.0, 1.0, 9.0, 9.0), 0.9, 0)], toy_contract(name=name))


class Bench:
    """A watch over a toy model, with its reloads counted; `during` runs while a model is loaded."""

    def __init__(self, folder: Path) -> None:
        self.path = toy(folder / "m.xml", "one")
        self.counts: list[str] = []
        self.loads = 0
        self.during = lambda: None
        stamp = file_stamp(self.path)
        self.slot = ModelSlot(self.load())
        self.watch = ModelWatch(self.path, stamp, self.load, self.slot, self.counts.append)

    def load(self) -> Predictor:
        self.loads += 1
        self.during()
        return Predictor(Engine(self.path), NoImages(), PredictorOptions(), POOL)

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.watch.look()

    @property
    def name(self) -> str:
        return self.slot.current.engine.contract.name


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_files_that_do_not_change_are_not_loaded_again(bench: Bench) -> None:
    bench.look(20)
    assert (bench.loads, bench.counts) == (1, [])


def test_a_new_model_serves_once_its_files_are_at_rest(bench: Bench) -> None:
    toy(bench.path, "two")
    bench.look()
    assert bench.name == "one"  # it may still be written
    os.utime(bench.path, ns=(1, 1))
    bench.look()
    assert bench.name == "one"
    bench.look()
    assert (bench.name, bench.counts) == ("two", ["ok"])
    bench.look(5)
    assert bench.loads == 2


def test_a_request_ends_on_the_model_it_began_with_which_is_freed_then(bench: Bench) -> None:
    begun = bench.slot.current
    gone = weakref.ref(begun.engine)
    toy(bench.path, "two")
    bench.look(2)
    assert begun.engine.contract.name == "one"
    assert gone() is not None
    del begun
    assert gone() is None


def test_a_refused_model_is_freed_too(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[weakref.ref[Engine]] = []

    def load() -> Predictor:
        engine = Engine(bench.path)
        loaded.append(weakref.ref(engine))
        raise ContractError(f"{engine.contract.name} is refused.")

    monkeypatch.setattr(bench.watch, "_load", load)
    bench.watch.reload()
    assert bench.counts == ["failed"]
    assert [engine() for engine in loaded] == [None]


def damage_xml(path: Path) -> None:
    path.write_text(path.read_text()[:-200])


def damage_bin(path: Path) -> None:
    path.with_suffix(".bin").write_bytes(b"")


def drop_facts(path: Path) -> None:
    path.write_text(path.read_text().replace("labelvino", "somebody"))


def remove(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (damage_xml, "cannot be read as an OpenVINO IR"),
        (damage_bin, "cannot be read as an OpenVINO IR"),
        (drop_facts, "does not say what its inputs and outputs mean"),
        (remove, "there is no model file"),
    ],
)
def test_a_bad_model_leaves_the_old_one_and_is_told_once(
    harm: object, says: str, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    assert callable(harm)
    toy(bench.path, "two")
    harm(bench.path)
    bench.look(30)
    assert (bench.name, bench.counts) == ("one", ["failed"])
    assert caplog.text.count("is not used, the old one serves on") == 1
    assert says in caplog.text
    toy(bench.path, "three")
    bench.look(2)
    assert (bench.name, bench.counts) == ("three", ["failed", "ok"])


def test_one_changed_file_waits_for_the_other(bench: Bench, tmp_path: Path) -> None:
    other = toy(tmp_path / "other.xml", "two")
    bench.path.write_bytes(other.read_bytes())
    bench.look(4)
    assert bench.loads == 1
    bench.path.with_suffix(".bin").write_bytes(other.with_suffix(".bin").read_bytes())
    bench.look(2)
    assert (bench.loads, bench.name) == (2, "two")


def test_but_not_for_ever(bench: Bench) -> None:
    os.utime(bench.path, ns=(1, 1))
    bench.look(8)
    assert bench.loads == 1
    bench.look(1)
    assert (bench.loads, bench.counts) == (2, ["ok"])


def test_files_that_change_while_they_are_loaded_are_tried_again(bench: Bench) -> None:
    def change() -> None:
        if bench.loads == 2:
            toy(bench.path, "three")

    bench.during = change
    toy(bench.path, "two")
    bench.look(2)
    assert (bench.name, bench.counts) == ("one", [])
    bench.look(2)
    assert (bench.name, bench.counts) == ("three", ["ok"])


def test_an_unexpected_error_leaves_the_old_one(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise MemoryError

    bench.during = fail
    bench.watch.reload()
    assert (bench.name, bench.counts) == ("one", ["failed"])
    assert "unexpected MemoryError; see the log" in caplog.text


def test_reload_loads_files_that_are_the_same(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        bench.watch.reload()
    assert (bench.loads, bench.counts) == (2, ["ok"])
    version = bench.slot.current.planner.default_version
    assert f"model loaded again: version {version}, was {version}" in caplog.text


def test_the_thread_loads_when_it_is_woken_and_ends_when_it_is_told(bench: Bench) -> None:
    assert bench.watch.stop(timeout_s=0)  # never started
    watch = ModelWatch(
        bench.path, file_stamp(bench.path), bench.load, bench.slot, bench.counts.append
    )
    watch.start(look=False)
    toy(bench.path, "two")
    watch.wake()
    deadline = time.monotonic() + 20
    while not bench.counts and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (bench.name, bench.counts) == ("two", ["ok"])
    assert watch.stop(timeout_s=20)
