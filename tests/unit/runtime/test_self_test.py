"""The self-test tells a device that computes something else."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import openvino as ov
import pytest
from PIL import Image

from backend.runtime.engine import Engine, read_ir
from backend.runtime.errors import ContractError, DeviceError
from backend.runtime.self_test import SelfTest
from tests.toy_model import Instance, save_toy_model

THREE: list[Instance] = [
    ((10.0, 10.0, 30.0, 30.0), 0.9, 0),
    ((40.0, 10.0, 60.0, 30.0), 0.8, 1),
    ((60.0, 30.0, 90.0, 50.0), 0.7, 2),
]


def picture() -> bytes:
    out = BytesIO()
    Image.new("RGB", (100, 60), "grey").save(out, "PNG")
    return out.getvalue()


def engine(folder: Path, instances: list[Instance]) -> Engine:
    folder.mkdir(exist_ok=True)
    return Engine(save_toy_model(folder / "m.xml", instances), device="CPU", precision="f32")


def recorded(tmp_path: Path, instances: list[Instance] = THREE) -> SelfTest:
    return SelfTest.record(engine(tmp_path / "recorded", instances), picture())


def test_nothing_seen_and_nothing_found(tmp_path: Path) -> None:
    nothing = engine(tmp_path / "now", [])
    assert recorded(tmp_path, []).run(nothing).startswith("self-test: 0 clear instances")


def test_the_same_device_passes(tmp_path: Path) -> None:
    said = recorded(tmp_path).run(engine(tmp_path / "now", THREE))
    assert said == "self-test: 3 clear instances, 0 missing, 0 new"


MOVED = [((x1 + 2, y1, x2 + 2, y2), score - 0.2, i) for (x1, y1, x2, y2), score, i in THREE]
SWAPPED = [((y1, x1, y2, x2), score, i) for (x1, y1, x2, y2), score, i in THREE]
RENAMED = [(box, score, (i + 1) % 3) for box, score, i in THREE]
NOISE: list[Instance] = [((float(5 * i), 0.0, 5.0 * i + 4, 60.0), 0.9, 0) for i in range(19)]


def test_what_reduced_precision_moves_passes(tmp_path: Path) -> None:
    assert "0 missing" in recorded(tmp_path).run(engine(tmp_path / "now", MOVED))


@pytest.mark.parametrize("now", [[], SWAPPED, RENAMED, [*THREE, *NOISE]])
def test_other_results_are_refused(tmp_path: Path, now: list[Instance]) -> None:
    with pytest.raises(DeviceError, match=r"'CPU' in f32 does not compute.*--static"):
        recorded(tmp_path).run(engine(tmp_path / "now", now))


def test_instances_out_of_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match="3 are new"):
        recorded(tmp_path, []).run(engine(tmp_path / "now", THREE))


def test_it_travels_with_the_ir(tmp_path: Path) -> None:
    path = save_toy_model(tmp_path / "m.xml", THREE)
    model = read_ir(path)
    assert SelfTest.read(model) is None
    recorded(tmp_path).write(model)
    ov.save_model(model, tmp_path / "n.xml")
    assert SelfTest.read(read_ir(tmp_path / "n.xml")) == recorded(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"picture": "?", "seen": []}'])
def test_a_damaged_one_is_refused(text: str) -> None:
    with pytest.raises(ContractError, match="self-test is damaged"):
        SelfTest.from_json(text)
