"""The server over HTTP, with a tiny real model."""

from __future__ import annotations

import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx2
import pytest
from PIL import Image

from backend.fair_pool import FairPool
from backend.model_slot import ModelSlot
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.engine import Engine
from backend.runtime.errors import FetchError
from backend.server import create_app
from backend.settings import load_settings
from tests.live_server import live_server
from tests.toy_model import save_toy_model

INSTANCES = [((10.0, 10.0, 30.0, 30.0), 0.9, 0), ((40.0, 10.0, 60.0, 30.0), 0.6, 1)]
CONFIG = """<View><Image name="img" value="$photo"/>
<RectangleLabels name="box" toName="img"><Label value="Person"/><Label value="Car"/>
</RectangleLabels></View>"""


def photo() -> bytes:
    out = BytesIO()
    Image.new("RGB", (100, 50), "grey").save(out, "PNG")
    return out.getvalue()


class Source:
    """Images by address: `ok`, `bad` (refused), `broken` (no image), `wait` (until released)."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.waiting = threading.Semaphore(0)
        self.fetched: list[str] = []

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        self.fetched.append(url)
        if url == "bad":
            raise FetchError("the host answered 404.")
        if url == "fault":
            raise RuntimeError("a fault of ours with secret-token inside")
        if url == "wait":
            self.waiting.release()
            self.release.wait(30)
        return b"no image" if url == "broken" else photo()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    return Engine(save_toy_model(tmp_path_factory.mktemp("m") / "toy.xml", INSTANCES))


@pytest.fixture
def source() -> Iterator[Source]:
    source = Source()
    yield source
    source.release.set()


Serve = Callable[..., Any]


@pytest.fixture
def serve(engine: Engine, source: Source) -> Serve:
    @contextmanager
    def start(workers: int = 2, **settings: Any) -> Iterator[httpx2.Client]:
        pool = FairPool(workers)
        predictor = Predictor(engine, source, PredictorOptions(), pool)
        try:
            with live_server(create_app(ModelSlot(predictor), load_settings(**settings))) as client:
                yield client
        finally:
            source.release.set()
            pool.close()

    return start


def body(*photos: object, config: str = CONFIG) -> dict[str, Any]:
    tasks = [{"id": i, "data": {"photo": p}} for i, p in enumerate(photos)]
    return {"tasks": tasks, "label_config": config, "project": "1.1"}


def test_no_tasks(serve: Serve) -> None:
    with serve() as client:
        assert client.post("/predict", json=body()).json()["results"] == []


def test_one_entry_a_task_in_order(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    with serve() as client, caplog.at_level(logging.WARNING):
        answer = client.post("/predict", json=body("ok", "bad", "broken", "fault", None, "ok"))
    results = answer.json()["results"]
    assert [bool(result) for result in results] == [True, False, False, False, False, True]
    assert results[1:5] == [{}, {}, {}, {}]
    text = caplog.text
    assert "task 1: no prediction: the host answered 404." in text
    assert "task 2: no prediction: the file is not an image" in text
    assert "task 4: no prediction: the task's field 'photo' has no image address." in text


def test_a_prediction(serve: Serve) -> None:
    with serve() as client:
        version = client.post("/setup", json={"schema": CONFIG, "project": "1.1"}).json()
        answer = client.post("/predict", json=body("ok")).json()
        (prediction,) = answer["results"]
    assert prediction["score"] == pytest.approx(0.75)
    assert prediction["model_version"] == answer["model_version"] == version["model_version"]
    assert [r["value"]["rectanglelabels"] for r in prediction["result"]] == [["Person"], ["Car"]]
    assert prediction["result"][0]["value"]["x"] == 10.0
    assert prediction["result"][0]["value"]["y"] == 20.0


def test_setup_says_what_cannot_be_mapped(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    config = CONFIG.replace("Person", "Giraffe").replace("Car", "Okapi")
    with serve() as client, caplog.at_level(logging.WARNING):
        answer = client.post("/setup", json={"schema": config}).json()
        empty = client.post("/predict", json=body("ok", config=config)).json()["results"]
        client.post("/setup", json={"schema": config})
    assert answer["labels"] == ["person", "car", "traffic light"]
    assert any("'Giraffe', 'Okapi'" in note for note in answer["notes"])
    assert [result["result"] for result in empty] == [[]]
    assert caplog.text.count("No label of the config") == 1  # said once
    assert "the model's labels are: person, car, traffic light" in caplog.text


@pytest.mark.parametrize("schema", ["", "<View></View>", "<View", None])
def test_setup_of_an_unfinished_config_is_no_error(serve: Serve, schema: str | None) -> None:
    with serve() as client:
        answer = client.post("/setup", json={"schema": schema, "extra_params": {"a": 1}})
    assert answer.status_code == 200
    assert answer.json()["model_version"]
    assert answer.json()["notes"]


def test_thresholds_of_a_config_change_its_version(serve: Serve) -> None:
    strict = CONFIG.replace('name="box"', 'name="box" model_score_threshold="0.8"')
    with serve() as client:
        plain, high = (client.post("/predict", json=body("ok", config=c)).json()
                       for c in (CONFIG, strict))  # fmt: skip
        versions = client.get("/versions").json()["versions"]
    assert versions == [plain["model_version"], high["model_version"]]
    assert len(plain["results"][0]["result"]) == 2
    assert len(high["results"][0]["result"]) == 1
    assert plain["model_version"] != high["model_version"]


def test_projects_with_different_configs_at_once(serve: Serve) -> None:
    other = CONFIG.replace('"img"', '"pic"').replace('"box"', '"frame"').replace("Person", "PERSON")
    with serve() as client, ThreadPoolExecutor(4) as threads:
        configs = [CONFIG, other] * 6
        answers = list(
            threads.map(
                lambda c: client.post("/predict", json=body("ok", config=c)).json(), configs
            )
        )
    for config, answer in zip(configs, answers, strict=True):
        (prediction,) = answer["results"]
        wanted = ("box", "img") if config == CONFIG else ("frame", "pic")
        assert {(r["from_name"], r["to_name"]) for r in prediction["result"]} == {wanted}


def test_health_and_setup_are_answered_while_predictions_run(serve: Serve, source: Source) -> None:
    with serve(workers=1) as client, ThreadPoolExecutor(1) as thread:
        running = thread.submit(client.post, "/predict", json=body("wait"))
        assert source.waiting.acquire(timeout=20)
        assert client.get("/health").json()["status"] == "UP"
        assert client.post("/setup", json={"schema": CONFIG}).status_code == 200
        assert not running.done()
        source.release.set()
        assert running.result(20).json()["results"][0]["result"]


def test_a_budget_that_ends_leaves_tasks_for_the_next_time(
    serve: Serve, source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(workers=1, predict_budget_s=1.0) as client, caplog.at_level(logging.WARNING):
        start = time.monotonic()
        answer = client.post("/predict", json=body("ok", "wait", "ok"))
        assert time.monotonic() - start < 20
    results = answer.json()["results"]
    assert [bool(result) for result in results] == [True, False, False]
    assert results[1:] == [{}, {}]
    assert "2 of 3 tasks were not reached within the time budget" in caplog.text
    assert source.fetched == ["ok", "wait"]


def test_one_opened_task_does_not_wait_for_a_big_batch(serve: Serve, source: Source) -> None:
    with serve(workers=1) as client, ThreadPoolExecutor(2) as threads:
        big = threads.submit(client.post, "/predict", json=body("wait", *["ok"] * 50))
        assert source.waiting.acquire(timeout=20)
        small = threads.submit(client.post, "/predict", json=body("mine"))
        time.sleep(0.3)
        source.release.set()
        small.result(20)
        big.result(20)
    assert "mine" in source.fetched[:4]


ODD_TASKS = [
    {"id": "abc", "data": {"photo": "ok"}},
    {"id": 1.5, "data": None},
    {"data": []},
    None,
    "x",
    [],
    {"id": {"a": 1}, "data": {"photo": "ok"}, "annotations": [[[[["\ud800"]]]]]},
]


@pytest.mark.parametrize("project", ["1.2", 5, 1.5, {"a": 1}, None])
def test_an_odd_task_costs_only_itself(serve: Serve, project: object) -> None:
    tasks = [{"id": 1, "data": {"photo": "ok"}}, *ODD_TASKS, {"id": 2, "data": {"photo": "ok"}}]
    content = json.dumps({"tasks": tasks, "label_config": CONFIG, "project": project, "x": 1e999})
    with serve() as client:
        results = client.post("/predict", content=content).json()["results"]
    good = [True, True, *[False] * 5, True, True]
    assert [bool(result) for result in results] == good


def test_the_log_says_why_a_request_is_refused(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with serve() as client, caplog.at_level(logging.WARNING):
        client.post("/predict", content=b"{")
        client.post("/predict", json=body("ok", config="<View/>"))
    assert "/predict refused: the request is not JSON" in caplog.text
    assert "/predict refused: the labelling config has no <Image" in caplog.text


def test_a_client_that_goes_away_is_no_fault(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    with serve() as client, caplog.at_level(logging.INFO):
        with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as raw:
            raw.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{")
        deadline = time.monotonic() + 10
        while "499" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "499" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 422), (b"{", 422), (b"[]", 422), (b"{}", 422), (b"null", 422),
        (b'{"tasks": 1, "label_config": ""}', 422),
        (b'{"tasks": [], "label_config": "<View"}', 400),
        (b'{"tasks": [], "label_config": "<View/>"}', 400),
        (b"\xff\xfe", 422),
    ],
)  # fmt: skip
def test_bad_requests_get_one_sentence(serve: Serve, content: bytes, status: int) -> None:
    with serve() as client:
        answer = client.post("/predict", content=content)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert "Traceback" not in answer.text


def test_a_request_too_large_is_refused(serve: Serve) -> None:
    with serve(max_request_bytes=1000) as client:
        answer = client.post("/predict", content=b"x" * 1001)
    assert answer.status_code == 413
    assert "LABELVINO_MAX_REQUEST_BYTES" in answer.json()["error"]


def test_a_fault_of_ours_shows_nothing_inside(serve: Serve, engine: Engine) -> None:
    class Broken(Predictor):
        def predict_tasks(self, *args: Any, **kwargs: Any) -> Any:
            raise RuntimeError("secret-token")

    pool = FairPool(1)
    app = create_app(ModelSlot(Broken(engine, Source(), PredictorOptions(), pool)), load_settings())
    with live_server(app) as client:
        answer = client.post("/predict", json=body("ok"))
    pool.close()
    assert answer.status_code == 500
    assert "secret-token" not in answer.text and "Traceback" not in answer.text


def test_context_that_is_not_understood_is_harmless(serve: Serve) -> None:
    with serve() as client:
        for context in (None, {}, [], 5, "x"):
            request = {**body("ok"), "params": {"context": context, "login": None}}
            assert client.post("/predict", json=request).json()["results"][0]["result"]
        # What is shown as suggestions must not be all that the model finds.
        for context in ({"event": "prewarm"}, {"result": [{"type": "keypointlabels"}]}):
            request = {**body("ok"), "params": {"context": context, "login": None}}
            assert client.post("/predict", json=request).json()["results"][0]["result"] == []


def test_versions_metrics_and_unknown_paths(serve: Serve) -> None:
    with serve() as client:
        client.post("/predict", json=body("ok", "bad"))
        versions = client.get("/versions").json()["versions"]
        metrics = client.get("/metrics").text
        assert client.get("/nothing").json() == {"error": "Not Found."}
        assert client.get("/predict").status_code == 405
        assert client.head("/health").status_code == 200
        assert client.get("/").json()["status"] == "UP"
    assert len(versions) == 1
    assert 'labelvino_tasks_total{outcome="predicted"} 1.0' in metrics
    assert 'labelvino_tasks_total{outcome="failed"} 1.0' in metrics
    assert "labelvino_regions_total 2.0" in metrics
    assert 'labelvino_request_seconds_count{path="/predict",status="200"} 1.0' in metrics


AUTH = {"basic_auth_user": "u", "basic_auth_pass": "p:w"}


def test_basic_auth(serve: Serve) -> None:
    with serve(**AUTH) as client:
        assert client.get("/health").status_code == 200
        for path in ("/setup", "/predict", "/webhook"):
            refused = client.post(path, json={})
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic")
        for wrong in (("u", "x"), ("x", "p:w"), ("", "")):
            assert client.post("/setup", json={}, auth=wrong).status_code == 401
        assert client.get("/metrics").status_code == 401
        for broken in (b"Basic ***", b"Basic \xff\xfe", b"Basic /w==", b"Bearer x", b"Basic"):
            headers = {b"Authorization": broken}
            assert client.post("/setup", json={}, headers=headers).status_code == 401
        assert client.post("/setup", json={}, auth=("u", "p:w")).status_code == 200


def test_webhooks_pass_by_their_own_secret(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    event = {"action": "ANNOTATION_CREATED"}
    with caplog.at_level(logging.DEBUG), serve(**AUTH, webhook_secret="hush") as client:
        assert client.post("/webhook", json=event).status_code == 401
        assert client.post("/webhook?secret=wrong", json=event).status_code == 401
        assert client.post("/webhook?secret=hush", json=event).status_code == 201
        header = {"X-Labelvino-Secret": "hush"}
        assert client.post("/webhook", json=event, headers=header).status_code == 201
        assert client.post("/webhook", json=event, auth=("u", "p:w")).status_code == 201
        assert client.post("/setup?secret=hush", json={}).status_code == 401
    ours = "\n".join(r.getMessage() for r in caplog.records if r.name == "labelvino")
    assert "hush" not in ours and "p:w" not in ours


def test_the_openapi_page_names_the_requests(serve: Serve) -> None:
    with serve() as client:
        page = client.get("/openapi.json").json()
    schema = page["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert set(schema["required"]) == {"tasks", "label_config"}
    assert "$ref" not in json.dumps(page["paths"])


def test_results_do_not_depend_on_the_working_folder(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with serve() as client:
        assert client.post("/predict", json=body("ok")).json()["results"][0]["result"]
