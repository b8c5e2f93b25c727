"""Predictions with the result cache: the same as without, for fewer inferences and fetches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families
from redis_server import RedisServer

from backend.cache_access import open_result_cache
from backend.fair_pool import FairPool
from backend.image_results import FLOOR_SCORE
from backend.model_slot import ModelSlot
from backend.predictor import Prediction, Predictor, PredictorOptions
from backend.result_cache import ResultCache
from backend.runtime.engine import Engine
from backend.runtime.errors import FetchError
from backend.runtime.image import DecodedImage, ImageLimits
from backend.server import create_app
from backend.settings import load_settings
from tests.live_server import live_server
from tests.toy_model import Instance, save_toy_model, toy_contract

SCORES = (0.9, 0.6, 0.5, 0.3, 0.1, 0.06, 0.04, 0.02)
CONFIG = """<View><Image name="img" value="$photo"/>
<PolygonLabels name="outline" toName="img" model_score_threshold="{}"><Label value="Person"/>
<Label value="Car"/></PolygonLabels>
<BrushLabels name="paint" toName="img" model_score_threshold="{}"><Label value="Car"/></BrushLabels>
</View>"""


def config(polygon: float = 0.5, brush: float = 0.5) -> str:
    return CONFIG.format(polygon, brush)


def photo(width: int = 100, height: int = 60, shade: int = 128) -> bytes:
    out = BytesIO()
    Image.new("L", (width, height), shade).save(out, "PNG")
    return out.getvalue()


class CountingEngine(Engine):
    """Counts its inferences."""

    inferences = 0

    def infer(self, image: DecodedImage) -> Any:
        self.inferences += 1
        return super().infer(image)


class Source:
    """Images by address; counts fetches by address."""

    def __init__(self) -> None:
        self.images = {f"{name}.png": photo(shade=i) for i, name in enumerate("abc")}
        self.fetched: list[str] = []

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        self.fetched.append(url)
        if url not in self.images:
            raise FetchError("there is no such image.")
        return self.images[url]


pytestmark = pytest.mark.usefixtures("no_environment")


@pytest.fixture(scope="module", params=["box", "image"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight instances with ragged masks, in either frame."""
    numbers = np.random.default_rng(7)
    instances: list[Instance] = []
    for i, score in enumerate(SCORES):
        x, y = numbers.uniform(0, 50), numbers.uniform(0, 20)
        instances.append(((x, y, x + 35, y + 30), score, i % 3))
    masks = numbers.uniform(0, 1, (len(SCORES), 9, 9)).astype(np.float32)
    folder = tmp_path_factory.mktemp("model")
    contract = toy_contract(mask_frame=request.param)
    return save_toy_model(folder / "toy.xml", instances, contract, masks)


@pytest.fixture
def engine(model: Path) -> CountingEngine:
    return CountingEngine(model, device="CPU", precision="f32")


@pytest.fixture
def source() -> Source:
    return Source()


@pytest.fixture
def pool() -> Iterator[FairPool]:
    pool = FairPool(4)
    yield pool
    pool.close()


def task(name: str = "a.png", number: int = 1) -> dict[str, Any]:
    return {"id": number, "data": {"photo": name}}


def memory_cache(**settings: Any) -> ResultCache:
    cache = open_result_cache(load_settings(**settings))
    assert cache is not None
    return cache


def predicted(predictor: Predictor, *tasks: dict[str, Any], label_config: str) -> list[Prediction]:
    outcomes = predictor.predict_tasks(tasks, label_config)
    assert all(outcome.prediction for outcome in outcomes), outcomes
    return [outcome.prediction for outcome in outcomes if outcome.prediction]


@pytest.mark.parametrize("strategy", ["mean", "margin", "agreement"])
def test_any_thresholds_in_any_order_give_what_they_give_without_a_cache(
    strategy: Any, engine: CountingEngine, source: Source, pool: FairPool, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    options = PredictorOptions(choice="all", score_strategy=strategy)
    plain = Predictor(engine, source, options, pool)
    in_memory = Predictor(engine, source, options, pool, memory_cache(address_memory_s=0))
    from_redis = Predictor(
        engine, source, options, pool, memory_cache(result_cache_bytes=0, redis_url=server.url)
    )
    pairs = [(a / 20, b / 20) for a in range(0, 21, 4) for b in range(0, 21, 5)]
    random.Random(3).shuffle(pairs)
    shown = set()
    for pair in pairs:
        label_config = config(*pair)
        expected = predicted(plain, task(), label_config=label_config)
        assert predicted(in_memory, task(), label_config=label_config) == expected
        assert predicted(from_redis, task(), label_config=label_config) == expected
        shown.add(len(expected[0].result))
    assert len(shown) > 3  # the thresholds did make a difference
    server.kill()


def test_a_new_threshold_costs_no_inference_down_to_the_floor(
    engine: CountingEngine, source: Source, pool: FairPool
) -> None:
    predictor = Predictor(engine, source, PredictorOptions(), pool, memory_cache())
    for threshold in (0.9, 0.1, 0.5, FLOOR_SCORE):
        predicted(predictor, task(), label_config=config(threshold, threshold))
    assert engine.inferences == 1
    low = predicted(predictor, task(), label_config=config(0.0, 0.0))
    assert engine.inferences == 2
    # What is below the floor is there now, too.
    assert predicted(predictor, task(), label_config=config(0.0, 0.0)) == low
    predicted(predictor, task(), label_config=config(0.9, 0.9))
    assert engine.inferences == 2


def test_the_same_bytes_at_another_address_are_the_same_image(
    engine: CountingEngine, source: Source, pool: FairPool
) -> None:
    source.images["copy.png"] = source.images["a.png"]
    predictor = Predictor(engine, source, PredictorOptions(), pool, memory_cache())
    tasks = [task(name, i) for i, name in enumerate(["a.png", "copy.png", "b.png", "a.png"] * 5)]
    predicted(predictor, *tasks, label_config=config())
    assert engine.inferences == 2


def test_an_address_is_fetched_once_a_moment_for_each_task(
    engine: CountingEngine, source: Source, pool: FairPool
) -> None:
    predictor = Predictor(engine, source, PredictorOptions(), pool, memory_cache())
    first = predicted(predictor, task(), label_config=config())
    assert predicted(predictor, task(), label_config=config()) == first
    assert source.fetched == ["a.png"]
    # Another task may belong to a project that has no access to it: it must ask itself.
    predicted(predictor, task(number=2), label_config=config())
    assert source.fetched == ["a.png"] * 2
    del source.images["a.png"]
    (outcome,) = predictor.predict_tasks([task(number=3)], config())
    assert outcome.prediction is None and outcome.reason == "there is no such image."


def test_a_changed_image_at_the_same_address(
    engine: CountingEngine, source: Source, pool: FairPool
) -> None:
    cache = memory_cache(address_memory_s=0)
    predictor = Predictor(engine, source, PredictorOptions(), pool, cache)
    small = predicted(predictor, task(), label_config=config())
    source.images["a.png"] = photo(300, 200)
    large = predicted(predictor, task(), label_config=config())
    assert small[0].result[0]["original_width"] == 100
    assert large[0].result[0]["original_width"] == 300


def test_limits_of_today_count_for_images_of_yesterday(
    engine: CountingEngine, source: Source, pool: FairPool
) -> None:
    cache = memory_cache()
    predicted(Predictor(engine, source, PredictorOptions(), pool, cache), task(),
              label_config=config())  # fmt: skip
    strict = PredictorOptions(limits=ImageLimits(max_pixels=99))
    (outcome,) = Predictor(engine, source, strict, pool, cache).predict_tasks([task()], config())
    assert outcome.prediction is None and "LABELVINO_MAX_IMAGE_PIXELS" in outcome.reason
    more = PredictorOptions(max_detections=1)
    (one,) = predicted(Predictor(engine, source, more, pool, cache), task(), label_config=config())
    assert one.result[0]["id"] == "0-0"
    assert {region["id"].partition("-")[0] for region in one.result} == {"0"}


def test_a_cache_outlives_its_model(
    engine: CountingEngine, source: Source, pool: FairPool, tmp_path: Path
) -> None:
    cache = memory_cache()
    before = Predictor(engine, source, PredictorOptions(), pool, cache)
    old = predicted(before, task(), label_config=config())
    other = save_toy_model(tmp_path / "m.xml", [((1.0, 1.0, 9.0, 9.0), 0.7, 1)])
    after = Predictor(Engine(other, device="CPU"), source, PredictorOptions(), pool, cache)
    (new,) = predicted(after, task(), label_config=config())
    assert [region["score"] for region in new.result] == [0.7]
    assert predicted(before, task(), label_config=config()) == old
    assert engine.inferences == 1


def test_another_backend_finds_in_redis_what_the_first_has_seen(
    engine: CountingEngine, model: Path, source: Source, pool: FairPool, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    first = Predictor(engine, source, PredictorOptions(), pool, memory_cache(redis_url=server.url))
    expected = predicted(first, task(), task("b.png", 2), label_config=config())
    fresh = CountingEngine(model, device="CPU", precision="f32")
    cache = memory_cache(redis_url=server.url)
    second = Predictor(fresh, source, PredictorOptions(), pool, cache)
    assert predicted(second, task(), task("b.png", 2), label_config=config()) == expected
    assert fresh.inferences == 0
    server.kill()
    # Both are in its own memory by now, and Redis is not needed for new ones.
    assert predicted(second, task(), task("b.png", 2), label_config=config()) == expected
    predicted(second, task("c.png", 3), label_config=config())
    assert fresh.inferences == 1
    assert cache.counts.snapshot()["redis", "error"] == 1


@contextmanager
def served(predictor: Predictor) -> Iterator[Any]:
    with live_server(create_app(ModelSlot(predictor), load_settings())) as client:
        yield client


def test_the_metrics_tell_the_hit_rate(
    engine: CountingEngine, source: Source, pool: FairPool
) -> None:
    predictor = Predictor(engine, source, PredictorOptions(), pool, memory_cache())
    body = {"tasks": [task()], "label_config": config()}
    with served(predictor) as client:
        answers = [client.post("/predict", json=body).json() for _ in range(3)]
        text = client.get("/metrics").text
    assert answers[0] == answers[1] == answers[2]
    seen = {
        (sample.labels["store"], sample.labels["outcome"]): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "labelvino_cache_total"
    }
    assert seen == {
        ("address", "miss"): 1, ("address", "hit"): 2, ("memory", "miss"): 1, ("memory", "hit"): 2,
    }  # fmt: skip
