"""Every request that a real Label Studio sent, replayed against the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from backend.fair_pool import FairPool
from backend.labelstudio.client import LabelStudioClient
from backend.labelstudio.images import ImageFetcher
from backend.model_slot import ModelSlot
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.engine import Engine
from backend.server import create_app
from backend.settings import load_settings
from tests.live_server import live_server
from tests.sdk import SdkOracle
from tests.toy_model import save_toy_model, toy_contract
from tests.unit.labelstudio.local_server import LocalServer, local_server, send

INSTANCES = [
    ((10.0, 10.0, 60.5, 40.0), 0.9, 0),
    ((30.0, 20.0, 90.0, 70.0), 0.8, 1),
    ((5.0, 5.0, 20.0, 20.0), 0.7, 2),
]


@pytest.fixture(scope="module")
def requests(shared_dir: Path) -> list[dict[str, Any]]:
    recorded = json.loads((shared_dir / "label-studio" / "requests.json").read_text())
    return [_restored(request) for request in recorded]


@pytest.fixture(scope="module")
def sdk() -> Iterator[SdkOracle]:
    with SdkOracle.start() as oracle:
        yield oracle


@pytest.fixture(scope="module")
def label_studio(photos_dir: Path) -> Iterator[LocalServer]:
    """Stands where Label Studio and the photo host stood: a photo at every address."""
    photo = next(photos_dir.iterdir()).read_bytes()

    with local_server() as server:
        server.otherwise = send(body=photo)
        yield server


@pytest.fixture(scope="module")
def client(
    tmp_path_factory: pytest.TempPathFactory, label_studio: LocalServer
) -> Iterator[httpx2.Client]:
    path = tmp_path_factory.mktemp("model") / "toy.xml"
    engine = Engine(save_toy_model(path, INSTANCES, toy_contract(("person", "car", "dog"))))
    fetcher = ImageFetcher(
        LabelStudioClient(label_studio.url, "0" * 40), allowed_hosts=("127.0.0.1",)
    )
    pool = FairPool(2)
    predictor = Predictor(engine, fetcher, PredictorOptions(choice="all"), pool)
    with live_server(create_app(ModelSlot(predictor), load_settings())) as live:
        yield live
    pool.close()


def send_request(client: httpx2.Client, request: dict[str, Any]) -> Any:
    return client.request(
        request["method"], request["path"],
        content=None if request["body"] is None else json.dumps(request["body"]),
        headers={"Content-Type": "application/json"},
    )  # fmt: skip


def test_every_recorded_request_is_answered(
    client: httpx2.Client, requests: list[dict[str, Any]], label_studio: LocalServer
) -> None:
    assert len(requests) >= 20
    for request in requests:
        body = json.dumps(request["body"]).replace(
            "127.0.0.1:9096", f"127.0.0.1:{label_studio.port}"
        )
        answer = send_request(client, {**request, "body": json.loads(body)})
        assert answer.status_code in (200, 201), (request["label"], answer.text)
        assert answer.headers["content-type"] == "application/json"


def test_setup_names_the_version_of_the_predictions(
    client: httpx2.Client, requests: list[dict[str, Any]]
) -> None:
    setup = next(r for r in requests if r["path"] == "/setup")
    predict = next(r for r in requests if r["label"] == "retrieve_dm")
    version = send_request(client, setup).json()["model_version"]
    answer = send_request(client, predict).json()
    assert answer["model_version"] == version
    assert {result["model_version"] for result in answer["results"]} == {version}


def test_every_prediction_is_valid_for_the_sdk(
    client: httpx2.Client, requests: list[dict[str, Any]], sdk: SdkOracle, label_studio: LocalServer
) -> None:
    checked = 0
    for request in requests:
        if request["path"] != "/predict":
            continue
        body = json.dumps(request["body"]).replace(
            "127.0.0.1:9096", f"127.0.0.1:{label_studio.port}"
        )
        results = send_request(client, {**request, "body": json.loads(body)}).json()["results"]
        assert len(results) == len(request["body"]["tasks"])
        for result in results:
            if request["body"]["params"]["context"]:
                # A click where the model sees nothing, or one instance in one control.
                assert len({region["from_name"] for region in result["result"]}) <= 1
            else:
                # brush and polygon have Car and Person, the rectangle has Dog
                assert len(result["result"]) == 5, request["label"]
            assert sdk.validate(request["body"]["label_config"], result) == []
            checked += 1
    assert checked >= 7


def test_the_cloud_address_goes_through_label_studio(
    client: httpx2.Client, requests: list[dict[str, Any]], label_studio: LocalServer
) -> None:
    label_studio.seen.clear()
    request = next(r for r in requests if r["label"] == "s3_presignTrue")
    assert send_request(client, request).status_code == 200
    (target,) = label_studio.targets
    assert target.startswith("/tasks/1056/presign/?fileuri=")


def _restored(request: dict[str, Any]) -> dict[str, Any]:
    """Without the notes that stand for shortened values."""
    body = request["body"]
    if request["path"] == "/predict":
        tasks = [task for task in body["tasks"] if isinstance(task, dict)]
        request = {**request, "body": {**body, "tasks": tasks}}
    return request
