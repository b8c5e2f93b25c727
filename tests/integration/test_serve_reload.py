"""A model is replaced while `labelvino serve` answers: real processes, real files."""

from __future__ import annotations

import base64
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from openvino import save_model
from PIL import Image
from prometheus_client.parser import text_string_to_metric_families

from backend.runtime.engine import Engine, read_ir
from backend.runtime.self_test import SelfTest
from tests.conftest import ROOT
from tests.serve_process import ServeProcess, serving
from tests.toy_model import Instance, save_toy_model, toy_contract

CONFIG = """<View><Image name="image" value="$image"/><RectangleLabels name="box" toName="image">
<Label value="person"/><Label value="car"/><Label value="kite"/></RectangleLabels></View>"""
LEFT: Instance = ((10.0, 10.0, 30.0, 30.0), 0.9, 0)
RIGHT: Instance = ((60.0, 10.0, 80.0, 30.0), 0.8, 1)


def png() -> bytes:
    out = BytesIO()
    Image.new("RGB", (100, 50), "grey").save(out, "PNG")
    return out.getvalue()


PICTURE = "data:image/png;base64," + base64.b64encode(png()).decode()


def make(path: Path, name: str, *instances: Instance, tested_as: Path | None = None) -> Path:
    """A toy model with a self-test, recorded with itself or with another model."""
    plain = save_toy_model(path.with_name(f"plain-{path.name}"), instances, toy_contract(name=name))
    model = read_ir(plain)
    SelfTest.record(Engine(tested_as or plain), png()).write(model)
    save_model(model, path, compress_to_fp16=False)
    return path


@pytest.fixture
def first(tmp_path: Path) -> Path:
    return make(tmp_path / "first.xml", "first", LEFT)


@pytest.fixture
def served(tmp_path: Path, first: Path) -> Path:
    """A copy of `first`, which the tests replace."""
    (tmp_path / "served").mkdir()
    return overwrite(tmp_path / "served" / "model.xml", first)


def overwrite(target: Path, source: Path) -> Path:
    """As `cp` does: into the same files, of which a reader may see the half."""
    shutil.copyfile(source, target)
    shutil.copyfile(source.with_suffix(".bin"), target.with_suffix(".bin"))
    return target


def boxes_x(server: ServeProcess) -> list[float]:
    """Left edges of what the server finds, in percent of the picture."""
    (prediction,) = server.predict(CONFIG, PICTURE)["results"]
    return [round(region["value"]["x"]) for region in prediction["result"]]


def metrics(server: ServeProcess) -> dict[str, Any]:
    """Reloads by outcome, and the names of the models that the gauge knows."""
    text = server.client.get("/metrics").text
    samples = [s for family in text_string_to_metric_families(text) for s in family.samples]
    reloads = {
        s.labels["outcome"]: s.value for s in samples if s.name == "labelvino_model_reloads_total"
    }
    names = [s.labels["name"] for s in samples if s.name == "labelvino_model_info"]
    return {"names": names, **reloads}


def versions(server: ServeProcess) -> set[str]:
    """The model version, wherever the server says it."""
    said = {server.client.get("/health").json()["model_version"]}
    said |= set(server.client.get("/versions").json()["versions"])
    said.add(server.client.post("/setup", json={"schema": CONFIG}).json()["model_version"])
    answer = server.predict(CONFIG, PICTURE)
    return said | {answer["model_version"], answer["results"][0]["model_version"]}


def test_another_model_takes_over_while_requests_run(served: Path) -> None:
    """From a toy to the demo's model, which labelvino-model converted, and no request suffers."""
    demo = ROOT / "backend" / "demo" / "model.xml"
    answers: list[dict[str, Any]] = []
    ended = threading.Event()

    def ask(server: ServeProcess) -> None:
        while not ended.is_set():
            answers.append(server.predict(CONFIG, PICTURE, PICTURE, PICTURE))

    with serving(served) as server:
        (old,) = versions(server)
        with ThreadPoolExecutor(2) as threads:
            asking = [threads.submit(ask, server) for _ in range(2)]
            try:
                overwrite(served, demo)
                server.wait_for("model loaded again")
                while answers[-1]["model_version"] == old:
                    server.client.get("/health")
            finally:
                ended.set()
            assert [each.result(60) for each in asking] == [None, None]
        (new,) = versions(server)
        assert metrics(server) == {"names": ["labelvino-demo"], "ok": 1, "failed": 0}
    assert new.startswith("labelvino-demo-") and old.startswith("first-")
    assert {answer["model_version"] for answer in answers} == {old, new}
    for answer in answers:
        said = [result["model_version"] for result in answer["results"]]
        assert said == [answer["model_version"]] * 3  # one model a request
    assert f"version {new}, was {old}" in server.log


def test_bad_models_leave_the_old_one_until_a_good_one_comes(
    served: Path, first: Path, tmp_path: Path
) -> None:
    second = make(tmp_path / "second.xml", "second", RIGHT)
    wrong = make(tmp_path / "wrong.xml", "wrong", RIGHT, tested_as=first)
    with serving(served) as server:
        overwrite(served, second)
        served.with_suffix(".bin").write_bytes(b"")  # a copy that was broken off
        server.wait_for("the old one serves on", times=1)
        assert "cannot be read as an OpenVINO IR" in server.log
        assert boxes_x(server) == [10]
        overwrite(served, wrong)
        server.wait_for("the old one serves on", times=2)
        assert "does not compute what the converter saw in the self-test" in server.log
        assert boxes_x(server) == [10]
        assert metrics(server) == {"names": ["first"], "ok": 0, "failed": 2}
        overwrite(served, second)
        server.wait_for("model loaded again")
        assert boxes_x(server) == [60]
        assert metrics(server) == {"names": ["second"], "ok": 1, "failed": 2}
        server.process.send_signal(signal.SIGTERM)
        assert server.ended() == 0
    assert server.log.count("the old one serves on") == 2  # each fault is told once
    assert "Traceback" not in server.log


def test_a_signal_loads_what_is_not_watched(served: Path, tmp_path: Path) -> None:
    second = make(tmp_path / "second.xml", "second", RIGHT)
    environment = {"LABELVINO_WATCH_MODEL": "false"}
    # Compiled models are kept by their content, so that the cache gives no old weights.
    environment["LABELVINO_MODEL_CACHE"] = str(tmp_path / "cache")
    with serving(served, **environment) as server:
        assert "is not watched; SIGHUP loads it again" in server.log
        shutil.copyfile(second, served)  # half of a copy: the facts of one, the weights of another
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("does not compute what the converter saw in the self-test")
        overwrite(served, second)
        assert boxes_x(server) == [10]
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("model loaded again")
        assert boxes_x(server) == [60]
        server.process.send_signal(signal.SIGHUP)
        server.wait_for("model loaded again", times=2)
        assert boxes_x(server) == [60]
    assert server.log.count("model loaded again") == 2


def test_files_that_are_written_over_do_not_touch_the_model_that_serves(served: Path) -> None:
    """Mapped weights would change the results, or kill the process once the file is shorter."""
    with serving(served, LABELVINO_WATCH_MODEL="false") as server:
        size = served.with_suffix(".bin").stat().st_size
        served.with_suffix(".bin").write_bytes(b"\x07" * size)
        assert boxes_x(server) == [10]
        served.with_suffix(".bin").write_bytes(b"")
        assert boxes_x(server) == [10]
        assert server.process.poll() is None
