"""backend/ml_backend.py under the stock servers of label-studio-ml, as real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pytest
from stand_in_studio import running as stand_in
from tuning_site import CONFIG, UID, corrected, toy

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, Instance, draw_scene
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.region_masks import region_mask
from backend.runtime.engine import load_contract
from backend.runtime.overlay import label_colours
from tests.conftest import ROOT
from tests.e2e.child_process import ServerProcess, free_port
from tests.sdk import environment_python
from tests.unit.labelstudio.local_server import LocalServer, local_server, send

START_TIMEOUT_S = 60.0
LABELS = load_contract(MODEL_PATH).label_names
COLOURS = label_colours(LABELS)
POLYGONS = write_label_config(LABELS, ("polygon",), COLOURS)
RECTANGLES = write_label_config(LABELS, ("rectangle",), COLOURS)
SMART = POLYGONS.replace(
    "<PolygonLabels ",
    '<KeyPoint name="point" toName="image" smart="true"/>'
    '<Rectangle name="box" toName="image" smart="true"/><PolygonLabels ',
)
WIDTH, HEIGHT = 480, 320
SCENES = [draw_scene(FIRST_UNSEEN_SEED + index, WIDTH, HEIGHT) for index in (0, 1)]
SOURCE = "LABELVINO_LABEL_STUDIO_ML_SOURCE"


@dataclass(frozen=True)
class Stock:
    """An environment with a label-studio-ml. `major`: its version; `source`: put before it."""

    major: int
    python: Path
    source: str = ""

    def run_init(self, folder: Path) -> None:
        """`label-studio-ml init`, as docs/ml-backend.md says it."""
        script = f"{ROOT / 'backend' / 'ml_backend.py'}:Labelvino"
        command = [self.python, "-m", "label_studio_ml.server"]
        subprocess.run(
            [*command, "init", folder.name, "--script", script],
            cwd=folder.parent,
            env=self.environment(),
            check=True,
            capture_output=True,
            timeout=120,
        )

    def environment(self, **more: str) -> dict[str, str]:
        """Its `start` calls `python` by name, so that of its environment must be found first."""
        path = f"{self.python.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        modules = os.pathsep.join(part for part in (self.source, str(ROOT)) if part)
        return {"PATH": path, "PYTHONPATH": modules, "LANG": "C.UTF-8", **more}


@pytest.fixture(scope="module")
def stock_1() -> Stock:
    return Stock(1, environment_python("label-studio-ml", "LABELVINO_LABEL_STUDIO_ML_PYTHON"))


@pytest.fixture(scope="module")
def stock_2() -> Stock:
    """PyPI has no 2.x, so no environment is pinned: docs/ml-backend.md says how to make one."""
    python = os.environ.get("LABELVINO_LABEL_STUDIO_ML_2_PYTHON")
    if python is None:
        pytest.skip(
            "label-studio-ml 2.x is not on PyPI: set LABELVINO_LABEL_STUDIO_ML_2_PYTHON to the "
            f"Python of an environment with it, or with what it needs and {SOURCE} to a checkout"
        )
    return Stock(2, Path(python), os.environ.get(SOURCE, ""))


@pytest.fixture(scope="module", params=["stock_1", "stock_2"])
def stock(request: pytest.FixtureRequest) -> Stock:
    found: Stock = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="module")
def pictures() -> Iterator[LocalServer]:
    """Two drawn scenes; every other address has none."""
    with local_server() as server:
        for index in (0, 1):
            server.routes[f"/{index}.jpg"] = send(body=encode_jpeg(SCENES[index]))
        yield server


SETTINGS = {
    "LABELVINO_MODEL": str(MODEL_PATH),
    "LABELVINO_DEVICE": "CPU",
    "LABELVINO_PRECISION": "f32",
    "LABELVINO_ALLOWED_HOSTS": "127.0.0.1",
}


@contextmanager
def running(
    command: list[str | Path], env: dict[str, str], folder: Path, port: int
) -> Iterator[httpx2.Client]:
    process = ServerProcess(command, env, folder / "server.log", folder)
    try:
        url = f"http://127.0.0.1:{port}"
        process.wait_until_healthy(f"{url}/health", START_TIMEOUT_S)
        with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
            yield client
    finally:
        process.stop()


@pytest.fixture(scope="module")
def labelvino(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    """`labelvino serve`, with which all must agree."""
    folder, port = tmp_path_factory.mktemp("labelvino"), free_port()
    command = [Path(sys.executable).with_name("labelvino"), "serve", "--port", str(port)]
    with running(command, SETTINGS, folder, port) as client:
        yield client


@pytest.fixture(scope="module")
def project_folder(stock: Stock, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stock") / "backend"
    stock.run_init(folder)
    return folder


@contextmanager
def started(stock: Stock, folder: Path, **more: str) -> Iterator[httpx2.Client]:
    port = free_port()
    arguments = ["start", str(folder), "--port", str(port), "--host", "127.0.0.1"]
    command = [stock.python, "-m", "label_studio_ml.server", *arguments]
    env = stock.environment(**{"MODEL_DIR": str(folder)} | SETTINGS | more)
    with running(command, env, folder.parent, port) as client:
        yield client


@pytest.fixture(scope="module")
def client(stock: Stock, project_folder: Path) -> Iterator[httpx2.Client]:
    """`label-studio-ml start`, with nothing but its own defaults and our settings."""
    with started(stock, project_folder) as client:
        yield client


def setup_body(config: str, project: str = "1.1795219680") -> dict[str, Any]:
    """The /setup of a Label Studio 1.23.2."""
    return {
        "project": project,
        "schema": config,
        "hostname": "http://127.0.0.1:8080",
        "access_token": "0" * 40,
        "extra_params": {},
    }


def predict_body(
    urls: list[str], config: str = POLYGONS, project: str = "1.1795219680"
) -> dict[str, Any]:
    """The /predict of a Label Studio 1.23.2, with what it sends of each task."""
    tasks = [
        {"id": i, "data": {"image": url}, "meta": {}, "annotations": [], "predictions": []}
        for i, url in enumerate(urls, 1)
    ]
    params = {"login": None, "password": None, "context": None}
    return {"tasks": tasks, "project": project, "label_config": config, "params": params}


def point_at(thing: Instance) -> dict[str, Any]:
    """The smart point of a Label Studio 1.23.2, inside of the thing."""
    rows, columns = np.nonzero(thing.mask)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    x, y = (columns[middle] + 0.5) / WIDTH * 100, (rows[middle] + 0.5) / HEIGHT * 100
    return _drawn("point", "keypoint", {"x": x, "y": y, "width": 0.5})


def box_around(thing: Instance) -> dict[str, Any]:
    x1, y1, x2, y2 = thing.box_xyxy_px
    x, width = x1 / WIDTH * 100, (x2 - x1) / WIDTH * 100
    y, height = y1 / HEIGHT * 100, (y2 - y1) / HEIGHT * 100
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": 0}
    return _drawn("box", "rectangle", value)


def _drawn(control: str, kind: str, value: dict[str, float]) -> dict[str, Any]:
    return {
        "id": "a", "type": kind, "from_name": control, "to_name": "image", "value": value,
        "original_width": WIDTH, "original_height": HEIGHT, "is_positive": True,
    }  # fmt: skip


def without_ids(prediction: dict[str, Any]) -> dict[str, Any]:
    """Answers to prompts have new region ids each time."""
    result = [{**region, "id": ""} for region in prediction["result"]]
    return {**prediction, "result": result}


def overlap(region: dict[str, Any], thing: Instance) -> float:
    """IoU of a region and what was drawn."""
    mask = region_mask(region, WIDTH, HEIGHT)
    assert mask is not None
    return float((mask & thing.mask).sum() / (mask | thing.mask).sum())


def results(client: httpx2.Client, body: dict[str, Any]) -> list[dict[str, Any]]:
    answer = client.post("/predict", json=body)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["results"]
    return found


def test_health(client: httpx2.Client) -> None:
    assert client.get("/health").json()["status"] == "UP"


def test_no_tasks(client: httpx2.Client) -> None:
    assert client.post("/setup", json=setup_body(POLYGONS)).status_code == 200
    assert results(client, predict_body([])) == []


def test_the_same_version_as_labelvino_serve(
    client: httpx2.Client, labelvino: httpx2.Client
) -> None:
    thresholds = POLYGONS.replace("<PolygonLabels ", '<PolygonLabels model_score_threshold="0.9" ')
    for config in (POLYGONS, RECTANGLES, thresholds):
        body = setup_body(config)
        ours = labelvino.post("/setup", json=body).json()["model_version"]
        assert client.post("/setup", json=body).json()["model_version"] == ours


@pytest.mark.parametrize("config", ["<View></View>", "<View>"])
def test_setup_of_an_unfinished_config(
    client: httpx2.Client, labelvino: httpx2.Client, config: str
) -> None:
    body = setup_body(config)
    answer = client.post("/setup", json=body)
    assert answer.status_code == 200, answer.text
    ours = labelvino.post("/setup", json=body).json()["model_version"]
    assert answer.json()["model_version"] == ours


def test_the_same_predictions_as_labelvino_serve(
    client: httpx2.Client, labelvino: httpx2.Client, pictures: LocalServer
) -> None:
    client.post("/setup", json=setup_body(POLYGONS))
    urls = [f"{pictures.url}/{i}.jpg" for i in (0, 1)]
    body = predict_body(urls)
    found = results(client, body)
    assert [len(prediction["result"]) > 0 for prediction in found] == [True, True]
    assert found == results(labelvino, body)
    version = client.post("/setup", json=setup_body(POLYGONS)).json()["model_version"]
    assert {prediction["model_version"] for prediction in found} == {version}


def test_one_bad_task_costs_one_task(client: httpx2.Client, pictures: LocalServer) -> None:
    client.post("/setup", json=setup_body(POLYGONS))
    body = predict_body([f"{pictures.url}/missing.jpg", f"{pictures.url}/0.jpg"])
    body["tasks"].append("no task at all")
    first, second, third = results(client, body)
    assert (first, third) == ({}, {})
    assert second["result"]


def test_each_request_by_the_config_that_it_carries(
    client: httpx2.Client, labelvino: httpx2.Client, pictures: LocalServer
) -> None:
    client.post("/setup", json=setup_body(POLYGONS))
    client.post("/setup", json=setup_body(RECTANGLES, project="2.1795219681"))
    urls = [f"{pictures.url}/0.jpg"]
    for config, kind in ((POLYGONS, "polygonlabels"), (RECTANGLES, "rectanglelabels")):
        body = predict_body(urls, config)
        found = results(client, body)
        assert {region["type"] for region in found[0]["result"]} == {kind}
        assert found == results(labelvino, body)


def test_prompts_are_answered_as_by_labelvino_serve(
    client: httpx2.Client, labelvino: httpx2.Client, pictures: LocalServer
) -> None:
    """A point and a box at one thing: its outline, and nothing else."""
    client.post("/setup", json=setup_body(SMART))
    thing = max(SCENES[0].instances, key=lambda each: int(each.mask.sum()))
    body = predict_body([f"{pictures.url}/0.jpg"], SMART)
    for prompt in (point_at(thing), box_around(thing)):
        body["params"]["context"] = {"result": [prompt], "annotation_id": 1}
        (found,) = results(client, body)
        (region,) = found["result"]
        assert overlap(region, thing) > 0.8
        (ours,) = results(labelvino, body)
        assert without_ids(found) == without_ids(ours)
    assert results(client, {**body, "params": {"context": {"result": []}}})[0]["result"] == []
    plain = {**body, "params": {"login": None, "password": None, "context": {}}}
    assert len(results(client, plain)[0]["result"]) > 1


def test_parallel_requests(client: httpx2.Client, pictures: LocalServer) -> None:
    client.post("/setup", json=setup_body(POLYGONS))
    bodies = [predict_body([f"{pictures.url}/{i % 2}.jpg"]) for i in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda body: results(client, body), bodies))
    assert found == [found[0], found[1]] * 4
    assert found[0] != found[1]


def test_an_event_changes_nothing(client: httpx2.Client, pictures: LocalServer) -> None:
    before = client.post("/setup", json=setup_body(POLYGONS)).json()
    project = {"id": 1, "label_config": POLYGONS, "model_version": ""}
    event = {"action": "ANNOTATION_CREATED", "project": project, "annotation": {}, "task": {}}
    assert client.post("/webhook", json=event).status_code == 201
    assert client.post("/setup", json=setup_body(POLYGONS)).json() == before
    assert results(client, predict_body([f"{pictures.url}/0.jpg"]))[0]["result"]


def test_start_training(stock: Stock, project_folder: Path, tmp_path: Path) -> None:
    """Answered at once; the version and the predictions change when the work is done."""
    with stand_in(corrected()) as studio:
        settings = {
            "LABELVINO_MODEL": str(toy(tmp_path)), "LABEL_STUDIO_URL": studio.url,
            "LABEL_STUDIO_API_KEY": "0" * 40, "LABELVINO_STATE_DIR": str(tmp_path / "state"),
            "LABELVINO_TUNE_ON_TRAINING": "apply",
        }  # fmt: skip
        project = {"id": 1, "label_config": CONFIG, "model_version": ""}
        event = {"action": "START_TRAINING", "project": project}
        body = predict_body([f"{studio.url}/data/upload/1/1.png"], CONFIG, UID)

        def version() -> str:
            setup = client.post("/setup", json=setup_body(CONFIG, UID))
            return str(setup.json()["model_version"])

        def labels() -> list[str]:
            (found,) = results(client, body)
            assert found["model_version"] == version()
            return [region["value"]["rectanglelabels"][0] for region in found["result"]]

        with started(stock, project_folder, **settings) as client:
            before = version()
            assert labels() == ["car"]
            for _ in range(2):
                assert client.post("/webhook", json=event).status_code == 201
            ends_at_s = time.monotonic() + START_TIMEOUT_S
            while version() == before:
                assert time.monotonic() < ends_at_s, "nothing came of it"
                time.sleep(0.2)
            assert labels() == ["person"]


def test_recorded_requests(
    stock: Stock, client: httpx2.Client, shared_dir: Path, pictures: LocalServer
) -> None:
    """What a real Label Studio 1.23.2 sent, with our label config and pictures put in."""
    recorded = json.loads((shared_dir / "label-studio" / "requests.json").read_text())
    setup = next(r["body"] for r in recorded if r["path"] == "/setup")
    predict = next(r["body"] for r in recorded if r["label"] == "open_task_GET_api_tasks")
    answer = client.post("/setup", json={**setup, "schema": POLYGONS})
    assert answer.status_code == 200, answer.text
    task = {**predict["tasks"][0], "data": {"image": f"{pictures.url}/1.jpg"}}
    body = {**predict, "label_config": POLYGONS, "tasks": [task]}
    assert results(client, body)[0]["model_version"] == answer.json()["model_version"]


def test_forked_workers(
    stock: Stock,
    project_folder: Path,
    labelvino: httpx2.Client,
    pictures: LocalServer,
    tmp_path: Path,
) -> None:
    """gunicorn as the stock image starts it: imported once, forked, loaded by each worker."""
    port = free_port()
    options = ["--preload", "--workers", "2", "--threads", "4", "--timeout", "0"]
    command = [stock.python, "-m", "gunicorn", *options, "--bind", f"127.0.0.1:{port}", "_wsgi:app"]
    env = stock.environment(
        **SETTINGS, MODEL_DIR=str(tmp_path / "data"), LABEL_STUDIO_ML_BACKEND_V2=""
    )
    body = predict_body([f"{pictures.url}/0.jpg"])
    expected = results(labelvino, body)
    process = ServerProcess(command, env, tmp_path / "server.log", project_folder)
    try:
        url = f"http://127.0.0.1:{port}"
        process.wait_until_healthy(f"{url}/health", START_TIMEOUT_S)

        def ask(_: int) -> list[dict[str, Any]]:
            # A connection each, so that both workers get some.
            with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
                return results(client, body)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(16))) == [expected] * 16
    finally:
        process.stop()


def test_a_fork_after_loading(stock: Stock, tmp_path: Path) -> None:
    """A process that is forked from one with a loaded model loads its own, and can end."""
    code = (
        "import multiprocessing, os\n"
        "from backend.ml_backend import _process_model\n"
        "first = _process_model.get()\n"
        "assert _process_model.get() is first\n"
        "def child():\n"
        "    own = _process_model.get()\n"
        "    assert own is not first and own[0].planner.default_version\n"
        "process = multiprocessing.get_context('fork').Process(target=child)\n"
        "process.start()\n"
        "process.join(60)\n"
        "print('child ended with', process.exitcode)\n"
        "os._exit(0 if process.exitcode == 0 else 1)\n"
    )
    done = subprocess.run(
        [stock.python, "-W", "ignore", "-c", code],
        env=stock.environment(MODEL_DIR=str(tmp_path), **SETTINGS),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_after_a_restart_without_setup(
    stock_1: Stock, tmp_path: Path, pictures: LocalServer
) -> None:
    """1.0.9 answers 500 until /setup comes again, unless its old way is chosen."""
    stock_1.run_init(tmp_path / "backend")
    with started(stock_1, tmp_path / "backend", LABEL_STUDIO_ML_BACKEND_V2="") as client:
        assert results(client, predict_body([f"{pictures.url}/0.jpg"]))[0]["result"]


def test_1_0_9_with_a_password_is_refused(stock_1: Stock, tmp_path: Path) -> None:
    stock_1.run_init(tmp_path / "backend")
    secret = {"BASIC_AUTH_USER": "ann", "BASIC_AUTH_PASS": "x"}
    with started(stock_1, tmp_path / "backend", **secret) as client:
        answer = client.post("/setup", json=setup_body(POLYGONS))
    assert answer.status_code == 500
    assert "does not ask for BASIC_AUTH_USER" in answer.json()["detail"]


def test_a_model_that_is_not_there(stock: Stock, project_folder: Path) -> None:
    with started(stock, project_folder, LABELVINO_MODEL="missing.xml") as client:
        answer = client.post("/setup", json=setup_body(POLYGONS))
        assert answer.status_code == 500
        assert "missing.xml" in answer.json()["detail"]
        assert client.get("/health").status_code == 200
