"""Prompts over HTTP, with the demo's model and its scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np
import pytest

from backend.address_memory import AddressMemory
from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, Instance, draw_scene
from backend.fair_pool import FairPool
from backend.labelstudio.region_masks import region_mask
from backend.memory_store import MemoryStore
from backend.model_slot import ModelSlot
from backend.predictor import Predictor, PredictorOptions
from backend.result_cache import ResultCache
from backend.runtime.candidates import Candidates
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from backend.server import create_app
from backend.settings import load_settings
from tests.live_server import live_server

WIDTH, HEIGHT = 720, 480
SCENE = draw_scene(FIRST_UNSEEN_SEED + 4, WIDTH, HEIGHT)
LABELS = "".join(
    f'<Label value="{name}"/>'
    for name in ("traffic light", "stop sign", "umbrella", "kite", "banana", "donut", "clock")
)
CONFIG = f"""<View><Image name="image" value="$image"/>
<KeyPointLabels name="kp" toName="image" smart="true"{{prompt}}>{LABELS}<Label value="sports ball"/>
<Label value="Anything"/></KeyPointLabels>
<RectangleLabels name="rect" toName="image" smart="true">{LABELS}<Label value="sports ball"/>
</RectangleLabels>
<PolygonLabels name="poly" toName="image">{LABELS}<Label value="sports ball"/></PolygonLabels>
<BrushLabels name="brush" toName="image"><Label value="Anything"/></BrushLabels></View>"""


class Scene:
    """The one image there is; counts how often it was fetched."""

    def __init__(self) -> None:
        self.fetched = 0

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        self.fetched += 1
        return encode_jpeg(SCENE)


class CountingEngine(Engine):
    """Counts inferences."""

    inferences = 0

    def candidates(self, image: DecodedImage, floor_score: float, limit: int) -> Candidates:
        self.inferences += 1
        return super().candidates(image, floor_score, limit)


@pytest.fixture(scope="module")
def engine() -> CountingEngine:
    return CountingEngine(MODEL_PATH, device="CPU", precision="f32")


@pytest.fixture
def source() -> Scene:
    return Scene()


@contextmanager
def serving(engine: Engine, source: Scene) -> Iterator[httpx2.Client]:
    pool = FairPool(2)
    cache = ResultCache([MemoryStore(1 << 24)], AddressMemory(60.0))
    predictor = Predictor(engine, source, PredictorOptions(), pool, cache)
    with live_server(create_app(ModelSlot(predictor), load_settings())) as client:
        yield client
    pool.close()


@pytest.fixture
def client(engine: CountingEngine, source: Scene) -> Iterator[httpx2.Client]:
    engine.inferences = 0
    with serving(engine, source) as client:
        yield client


def ask(
    client: httpx2.Client, *drawn: dict[str, Any], prompt: str = "", context: Any = None
) -> list[dict[str, Any]]:
    """The regions that come back."""
    body = {
        "tasks": [{"id": 7, "data": {"image": "scene"}}],
        "label_config": CONFIG.format(prompt=prompt),
        "params": {"context": context or {"result": list(drawn)}},
    }
    response = client.post("/predict", json=body)
    assert response.status_code == 200, response.text
    (result,) = response.json()["results"]
    regions: list[dict[str, Any]] = result["result"]
    return regions


def point(x: float, y: float, label: str, positive: bool = True) -> dict[str, Any]:
    """In pixels of the scene."""
    return {
        "type": "keypointlabels", "from_name": "kp", "to_name": "image", "is_positive": positive,
        "value": {"x": x / WIDTH * 100, "y": y / HEIGHT * 100, "keypointlabels": [label]},
    }  # fmt: skip


def click(thing: Instance, label: str | None = None) -> dict[str, Any]:
    """On the pixel of the thing that is nearest to its middle."""
    rows, columns = np.nonzero(thing.mask)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    return point(columns[middle] + 0.5, rows[middle] + 0.5, label or thing.name)


def drag(thing: Instance) -> dict[str, Any]:
    x1, y1, x2, y2 = thing.box_xyxy_px
    value = {
        "x": x1 / WIDTH * 100, "y": y1 / HEIGHT * 100,
        "width": (x2 - x1) / WIDTH * 100, "height": (y2 - y1) / HEIGHT * 100, "rotation": 0,
        "rectanglelabels": [thing.name],
    }  # fmt: skip
    return {
        "type": "rectanglelabels", "from_name": "rect", "to_name": "image", "value": value,
        "original_width": WIDTH, "original_height": HEIGHT,
    }  # fmt: skip


def overlap(regions: list[dict[str, Any]], thing: Instance) -> float:
    shown = np.zeros((HEIGHT, WIDTH), bool)
    for region in regions:
        mask = region_mask(region, WIDTH, HEIGHT)
        assert mask is not None
        shown |= mask
    return float((shown & thing.mask).sum() / (shown | thing.mask).sum())


def things() -> list[Instance]:
    return sorted(SCENE.instances, key=lambda thing: -int(thing.mask.sum()))


@pytest.mark.parametrize("prompt", [click, drag], ids=["click", "box"])
def test_each_thing_is_found_by_pointing_at_it(
    prompt: Callable[[Instance], dict[str, Any]], client: httpx2.Client
) -> None:
    for thing in things():
        regions = ask(client, prompt(thing))
        assert {region["from_name"] for region in regions} == {"poly"}
        assert {tuple(r["value"]["polygonlabels"]) for r in regions} == {(thing.name,)}
        assert overlap(regions, thing) > 0.75, thing.name


def test_prompts_on_the_same_image_cost_one_inference(
    client: httpx2.Client, engine: CountingEngine, source: Scene
) -> None:
    large = things()[0]
    for _ in range(3):
        assert ask(client, click(large))
    assert engine.inferences == 1
    assert source.fetched == 1


def test_a_closer_look_is_taken_once(client: httpx2.Client, engine: CountingEngine) -> None:
    ask(client, click(things()[0]))
    before = engine.inferences
    for shift in (0, 1):
        ask(client, point(2.5 + shift, 2.5, "kite"))  # a corner, where there is nothing
    assert engine.inferences == before + 1


def test_ids_are_new_each_time(client: httpx2.Client) -> None:
    large = things()[0]
    first, second = ask(client, click(large)), ask(client, click(large))
    assert not {r["id"] for r in first} & {r["id"] for r in second}


def test_the_label_of_the_tool_or_of_the_model(client: httpx2.Client) -> None:
    thing = things()[0]
    other = click(thing, "Anything")
    assert {r["from_name"] for r in ask(client, other)} == {"brush"}
    assert {tuple(r["value"]["brushlabels"]) for r in ask(client, other)} == {("Anything",)}
    of_model = ask(client, other, prompt=' prompt_label="model"')
    assert {tuple(r["value"]["polygonlabels"]) for r in of_model} == {(thing.name,)}


def test_the_answer_goes_where_the_config_says(client: httpx2.Client) -> None:
    regions = ask(client, click(things()[0]), prompt=' prompt_control="rect"')
    assert [region["type"] for region in regions] == ["rectanglelabels"]


def test_a_negative_point_chooses_another(client: httpx2.Client) -> None:
    first, second = things()[:2]
    away = {**click(first), "is_positive": False}
    regions = ask(client, {**click(second)}, away)
    assert overlap(regions, second) > 0.75


@pytest.mark.parametrize(
    "context",
    [{"event": "prewarm"}, {"result": [{"type": "brushlabels"}]}, {"result": "x"}],
)
def test_what_is_no_prompt_is_harmless_and_warms_the_cache(
    context: Any, client: httpx2.Client, engine: CountingEngine
) -> None:
    assert ask(client, context=context) == []
    assert engine.inferences == 1
    assert ask(client, click(things()[0]))
    assert engine.inferences == 1


def test_a_label_that_no_control_has(client: httpx2.Client) -> None:
    assert ask(client, click(things()[0], "Unknown")) == []
