"""Requests made from the server's own OpenAPI page: no fault, whatever comes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from backend.fair_pool import FairPool
from backend.labelstudio.images import ImageFetcher
from backend.model_slot import ModelSlot
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.engine import Engine
from backend.server import create_app
from backend.settings import load_settings
from tests.live_server import live_server
from tests.toy_model import save_toy_model


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Iterator[schemathesis.BaseSchema]:
    engine = Engine(save_toy_model(tmp_path_factory.mktemp("m") / "toy.xml", []))
    pool = FairPool(2)
    predictor = Predictor(engine, ImageFetcher(), PredictorOptions(), pool)
    with live_server(create_app(ModelSlot(predictor), load_settings())) as client:
        yield schemathesis.openapi.from_url(f"{client.base_url}/openapi.json")
    pool.close()


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/predict"), ("POST", "/setup"), ("POST", "/webhook"), ("GET", "/versions")],
)
def test_no_request_is_a_fault(schema: schemathesis.BaseSchema, method: str, path: str) -> None:
    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(case=schema[path][method].as_strategy())
    def check(case: schemathesis.Case) -> None:
        answer = case.call()
        assert answer.status_code < 500, answer.text
        assert answer.headers["content-type"][0].startswith("application/json")

    check()
