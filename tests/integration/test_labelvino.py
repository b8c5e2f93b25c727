"""The command `labelvino`, as a process, with a tiny real model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from pathlib import Path
from xml.etree import ElementTree

import httpx2
import numpy as np
import pytest
from openvino import save_model
from PIL import Image

from backend.runtime.engine import Engine, read_ir
from backend.runtime.self_test import SelfTest
from backend.settings import environment_names
from tests.conftest import ROOT
from tests.sdk import environment_python
from tests.toy_model import save_toy_model, toy_contract
from tests.unit.labelstudio.local_server import local_server, send

INSTANCES = [((10.0, 10.0, 30.0, 30.0), 0.9, 0), ((40.0, 10.0, 60.0, 30.0), 0.3, 1)]
CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="person"/></RectangleLabels></View>"""
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {n for names in environment_names().values() for n in names}
}


def png(width: int, height: int) -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), "grey").save(out, "PNG")
    return out.getvalue()


PNG = png(100, 50)


def labelvino(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from backend.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)], capture_output=True, text=True, timeout=120, check=False,
        env=ENVIRONMENT | environment,
    )  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy_model(tmp_path_factory.mktemp("model") / "toy.xml", INSTANCES)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name, size in (("a.jpg", (100, 50)), ("b.png", (3000, 2000)), ("c.jpg", (100, 80))):
        Image.new("RGB", size, "grey").save(folder / name)
    return folder


def test_predictions_and_overlays(model: Path, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = labelvino("predict", photos, "--model", model, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["photos"], summary["done"], summary["detections"]) == (3, 3, 3)
    assert summary["device"] == ["CPU"]
    assert {p.name for p in out.iterdir()} == {
        "predictions.json", "label_config.xml",
        "a.jpg.overlay.png", "b.png.overlay.png", "c.jpg.overlay.png",
    }  # fmt: skip
    tasks = json.loads((out / "predictions.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["a.jpg", "b.png", "c.jpg"]
    (prediction,) = tasks[0]["predictions"]
    assert [r["type"] for r in prediction["result"]] == ["polygonlabels"]
    with (
        Image.open(out / "a.jpg.overlay.png") as small,
        Image.open(out / "b.png.overlay.png") as large,
    ):
        assert small.size == (640, 320)  # small photos are drawn enlarged
        drawn = np.asarray(large)
    assert drawn.shape == (2000, 3000, 3)
    assert (drawn[15:25, 15:25] != 128).any() and (drawn[1500:, 1500:] == 128).all()


def test_thresholds_controls_and_addresses(model: Path, photos: Path, tmp_path: Path) -> None:
    done = labelvino(
        "predict", photos / "a.jpg", "--model", model, "--out", tmp_path / "o", "--controls", "all",
        "--score-threshold", "0.2", "--image-prefix", "/data/local-files/?d=photos/",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (task,) = json.loads((tmp_path / "o" / "predictions.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=photos/a.jpg"
    kinds = [region["type"] for region in task["predictions"][0]["result"]]
    assert kinds == ["polygonlabels", "brushlabels", "rectanglelabels"] * 2


def test_coco_results_are_one_file(model: Path, photos: Path, tmp_path: Path) -> None:
    truth = {
        "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "c.jpg"}],
        "categories": [{"id": 50, "name": "Person"}, {"id": 60, "name": "zebra"}],
    }
    annotations = tmp_path / "instances.json"
    annotations.write_text(json.dumps(truth))
    done = labelvino(
        "predict", photos / "a.jpg", photos / "c.jpg", "--model", model, "--out", tmp_path / "o",
        "--format", "coco", "--annotations", annotations,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [p.name for p in (tmp_path / "o").iterdir()] == ["predictions.json"]
    results = json.loads((tmp_path / "o" / "predictions.json").read_text())
    assert [(r["image_id"], r["category_id"]) for r in results] == [(7, 50), (9, 50)]
    assert results[0]["bbox"] == [10.0, 10.0, 20.0, 20.0]


def test_a_bad_photo_costs_only_itself(model: Path, photos: Path, tmp_path: Path) -> None:
    (photos / "bad.jpg").write_bytes(b"no image")
    done = labelvino("predict", photos, "--model", model, "--out", tmp_path / "o", "--json")
    assert done.returncode == 1
    assert "bad.jpg: the file is not an image" in done.stderr
    assert json.loads(done.stdout)["done"] == 3
    assert len(json.loads((tmp_path / "o" / "predictions.json").read_text())) == 3


def test_photos_of_the_same_name_stay_apart(model: Path, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    Image.new("RGB", (50, 50)).save(tmp_path / "more" / "a.jpg")
    out = tmp_path / "o"
    arguments = ["predict", photos, tmp_path / "more", "--model", model, "--out", out]
    done = labelvino(*arguments)
    assert done.returncode == 0, done.stderr
    addresses = [
        task["data"]["image"] for task in json.loads((out / "predictions.json").read_text())
    ]
    assert len(set(addresses)) == 4
    assert len(list(out.glob("*.png"))) == 4
    annotations = tmp_path / "instances.json"
    annotations.write_text('{"images": [], "categories": [{"id": 1, "name": "person"}]}')
    coco = labelvino(*arguments, "--format", "coco", "--annotations", annotations)
    assert coco.returncode == 1
    assert "two photos have the same file name" in coco.stderr


def test_photos_are_never_replaced(model: Path, photos: Path) -> None:
    (photos / "a.jpg").rename(photos / "a")
    (photos / "b.png").rename(photos / "a.overlay.png")
    before = (photos / "a.overlay.png").read_bytes()
    done = labelvino(
        "predict", photos / "a", photos / "a.overlay.png", "--model", model, "--out", photos
    )
    assert done.returncode == 1
    assert "would replace a photo" in done.stderr
    assert (photos / "a.overlay.png").read_bytes() == before


def test_odd_file_names_cost_only_themselves(model: Path, photos: Path, tmp_path: Path) -> None:
    data = (photos / "a.jpg").read_bytes()
    (photos / "bad\udcff.jpg").write_bytes(data)
    (photos / "ä # ?.jpg").write_bytes(data)
    out = tmp_path / "o"
    done = labelvino("predict", photos, "--model", model, "--out", out, "--image-prefix", "/d/")
    assert done.returncode == 1
    assert "not UTF-8: rename the file" in done.stderr and "Traceback" not in done.stderr
    tasks = json.loads((out / "predictions.json").read_text())
    assert "/d/%C3%A4%20%23%20%3F.jpg" in [task["data"]["image"] for task in tasks]
    assert len(tasks) == 4


def test_a_place_that_cannot_be_written_is_told_before_the_work(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    done = labelvino("predict", photos, "--model", model, "--out", tmp_path / "file")
    assert done.returncode == 1
    assert "cannot write to" in done.stderr and "give another --out" in done.stderr


def test_annotations_of_other_things_are_refused(model: Path, photos: Path, tmp_path: Path) -> None:
    annotations = tmp_path / "instances.json"
    annotations.write_text('{"images": [], "categories": [{"id": 1, "name": "zebra"}]}')
    done = labelvino(
        "predict", photos, "--model", model, "--out", tmp_path / "o", "--format", "coco",
        "--annotations", annotations,
    )  # fmt: skip
    assert done.returncode == 1
    assert "none of the model's labels" in done.stderr


@pytest.mark.parametrize("control", ["polygon", "brush", "rectangle"])
def test_label_config(model: Path, control: str) -> None:
    done = labelvino("label-config", "--model", model, "--control", control)
    assert done.returncode == 0, done.stderr
    (tag,) = [t for t in ElementTree.fromstring(done.stdout) if t.get("toName") == "image"]
    assert tag.tag == {"polygon": "PolygonLabels", "brush": "BrushLabels",
                       "rectangle": "RectangleLabels"}[control]  # fmt: skip
    assert [label.get("value") for label in tag] == ["person", "car", "traffic light"]


def test_a_control_asked_for_twice_is_written_once(model: Path) -> None:
    twice = labelvino("label-config", "--model", model, *["--control", "polygon"] * 2).stdout
    assert twice == labelvino("label-config", "--model", model).stdout


def test_label_config_escapes_names(tmp_path: Path) -> None:
    contract = toy_contract(('a "b" & <c>', "ü"))
    path = save_toy_model(tmp_path / "m.xml", [], contract)
    done = labelvino("label-config", "--model", path)
    values = [tag.get("value") for tag in ElementTree.fromstring(done.stdout).iter("Label")]
    assert values == ['a "b" & <c>', "ü"]


def test_devices() -> None:
    assert "CPU" in labelvino("devices").stdout
    (cpu,) = [d for d in json.loads(labelvino("devices", "--json").stdout) if d["name"] == "CPU"]
    assert "f32" in cpu["precisions"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("serve",), 1, "no model is given"),
        (("serve", "--model", "none.xml"), 1, "no model file none.xml"),
        (("serve", "--model", "MODEL", "--device", "XPU"), 1, "no device 'XPU'"),
        (("serve", "--model", "MODEL", "--precision", "f8"), 2, "Invalid value"),
        (("predict", "none.jpg", "--model", "MODEL", "--out", "o"), 1, "no file none.jpg"),
        (("predict", "--model", "MODEL", "--out", "o"), 2, "Missing argument"),
        (
            ("predict", "x", "--model", "MODEL", "--out", "o", "--format", "coco"),
            2,
            "--annotations",
        ),
        (("predict", "x", "--out", "o", "--model", "MODEL", "--typo"), 2, "No such option"),
        (("label-config", "--model", "none.xml"), 1, "no model file"),
        (("nonsense",), 2, "No such command"),
        (("serve", "--model", "MODEL", "--host", "999.1.1.1", "--port", "0"), 1, "another --host"),
    ],
)
def test_one_clear_line(
    arguments: tuple[str, ...], code: int, says: str, model: Path, tmp_path: Path
) -> None:
    done = labelvino(*(str(model) if a == "MODEL" else a for a in arguments))
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    if code == 1:
        assert len(done.stderr.strip().splitlines()) == 1


def test_a_model_cache_that_cannot_be_used(model: Path) -> None:
    done = labelvino("serve", "--model", model, "--port", "0", LABELVINO_MODEL_CACHE="/proc/x")
    assert done.returncode == 1
    assert "LABELVINO_MODEL_CACHE" in done.stderr and "Traceback" not in done.stderr


def test_a_device_that_fails_the_self_test_is_refused(tmp_path: Path) -> None:
    other = Engine(save_toy_model(tmp_path / "other.xml", [((50.0, 5.0, 90.0, 45.0), 0.9, 2)]))
    model = read_ir(save_toy_model(tmp_path / "toy.xml", INSTANCES))
    SelfTest.record(other, PNG).write(model)
    save_model(model, tmp_path / "bad.xml")
    done = labelvino("serve", "--model", tmp_path / "bad.xml", "--port", "0")
    assert done.returncode == 1
    assert "does not compute what the converter saw in the self-test" in done.stderr


def test_a_taken_port_is_one_clear_line(model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = labelvino("serve", "--model", model, "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(("stop", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_serve_starts_and_stops(model: Path, stop: signal.Signals, code: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", "from backend.cli import main; main()", "serve", "--model",
         str(model), "--port", str(port)],
        stderr=subprocess.PIPE, text=True, env=ENVIRONMENT | {"LABEL_STUDIO_API_KEY": "hush" * 10},
    )  # fmt: skip
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until_up(url, process)
        process.send_signal(stop)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code, errors
    assert "Traceback" not in errors and "hush" not in errors
    assert "toy on CPU" in errors


def test_the_serving_set_alone_is_enough(model: Path, photos: Path, tmp_path: Path) -> None:
    """In an environment with the packages of requirements.txt and nothing else."""
    python = environment_python("serving", "LABELVINO_SERVING_PYTHON")
    script = (
        "import sys, backend.serving, backend.cli as c; "
        "missing = {'tensorflow', 'torch', 'nncf', 'converter'} & set(sys.modules); "
        "assert not missing, missing; c.main()"
    )
    done = subprocess.run(
        [python, "-c", script, "predict", photos, "--model", model, "--out", tmp_path / "o"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=ENVIRONMENT | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert "3 of 3 photos" in done.stderr


def test_a_stop_lets_the_task_under_way_end(tmp_path: Path) -> None:
    """What is done is answered, what is not is left, and the server is gone within seconds."""
    model = save_toy_model(tmp_path / "toy.xml", INSTANCES)
    release = threading.Event()
    fetched = threading.Semaphore(0)

    def slow(handler: BaseHTTPRequestHandler) -> None:
        fetched.release()
        release.wait(30)
        send(body=PNG, kind="image/png")(handler)

    with local_server() as images, socket.socket() as free:
        images.otherwise = slow
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        environment = ENVIRONMENT | {"LABELVINO_ALLOWED_HOSTS": "127.0.0.1"}
        environment |= {"LABELVINO_WORKERS": "1", "LABELVINO_PORT": str(port)}
        with subprocess.Popen(
            [sys.executable, "-c", "from backend.cli import main; main()", "serve", "--model",
             str(model)],
            stderr=subprocess.PIPE, text=True, env=environment,
        ) as server, ThreadPoolExecutor(1) as threads:  # fmt: skip
            wait_until_up(f"http://127.0.0.1:{port}", server)
            tasks = [{"id": i, "data": {"image": f"{images.url}/{i}.png"}} for i in range(3)]
            request = {"tasks": tasks, "label_config": CONFIG}
            answer = threads.submit(
                httpx2.post, f"http://127.0.0.1:{port}/predict", json=request, timeout=60
            )
            assert fetched.acquire(timeout=20)
            server.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            release.set()
            results = answer.result(20).json()["results"]
            _, errors = server.communicate(timeout=20)
    assert [bool(result) for result in results] == [True, False, False]
    assert server.returncode == 0
    assert "2 of 3 tasks were not reached before the stop" in errors
    assert "Traceback" not in errors
    assert errors.strip().endswith("stopped")


def wait_until_up(url: str, server: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            assert httpx2.get(f"{url}/health").json()["status"] == "UP"
        except httpx2.TransportError:
            assert time.monotonic() < deadline and server.poll() is None
            time.sleep(0.05)
        else:
            return
