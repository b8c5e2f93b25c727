"""The command `labelvino`, as a process, with a tiny real model."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import httpx2
import numpy as np
import pytest
from PIL import Image

from backend.settings import environment_names
from tests.conftest import ROOT
from tests.sdk import environment_python
from tests.toy_model import save_toy_model, toy_contract

INSTANCES = [((10.0, 10.0, 30.0, 30.0), 0.9, 0), ((40.0, 10.0, 60.0, 30.0), 0.3, 1)]
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {n for names in environment_names().values() for n in names}
}


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
        "predictions.json", "label_config.xml", "a.png", "b.png", "c.png",
    }  # fmt: skip
    tasks = json.loads((out / "predictions.json").read_text())
    assert [task["data"]["image"] for task in tasks] == ["a.jpg", "b.png", "c.jpg"]
    (prediction,) = tasks[0]["predictions"]
    assert [r["type"] for r in prediction["result"]] == ["polygonlabels"]
    with Image.open(out / "a.png") as small, Image.open(out / "b.png") as large:
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


def test_photos_of_the_same_name_keep_their_overlays(
    model: Path, photos: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (50, 50)).save(photos / "a.png")
    done = labelvino("predict", photos, "--model", model, "--out", tmp_path / "o")
    assert done.returncode == 0, done.stderr
    assert {"a.png", "a-2.png"} <= {p.name for p in (tmp_path / "o").iterdir()}


@pytest.mark.parametrize("control", ["polygon", "brush", "rectangle"])
def test_label_config(model: Path, control: str) -> None:
    done = labelvino("label-config", "--model", model, "--control", control)
    assert done.returncode == 0, done.stderr
    (tag,) = [t for t in ElementTree.fromstring(done.stdout) if t.get("toName") == "image"]
    assert tag.tag == {"polygon": "PolygonLabels", "brush": "BrushLabels",
                       "rectangle": "RectangleLabels"}[control]  # fmt: skip
    assert [label.get("value") for label in tag] == ["person", "car", "traffic light"]


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
        deadline = time.monotonic() + 60
        while True:
            try:
                assert httpx2.get(f"{url}/health").json()["status"] == "UP"
                break
            except httpx2.TransportError:
                assert time.monotonic() < deadline and process.poll() is None
                time.sleep(0.05)
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
