"""Facts, devices and decoding, on a tiny real IR."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from backend.runtime.contract import Label, ModelContract, ir_digest, read_contract, write_contract
from backend.runtime.engine import Engine, RawOutputs, decode, list_devices, load_contract
from backend.runtime.errors import ContractError, DeviceError
from backend.runtime.image import DecodedImage
from backend.runtime.resize import plan_resize
from tests.toy_model import save_toy_model, toy_contract

ONE = [((10.0, 20.0, 30.0, 40.0), 0.9, 1)]


def blank(width: int = 100, height: int = 80) -> DecodedImage:
    return DecodedImage(np.zeros((height, width, 3), np.uint8), 1, "")


def test_nothing_found(tmp_path: Path) -> None:
    found = Engine(save_toy_model(tmp_path / "m.xml", [])).detect(blank())
    assert len(found) == 0
    assert found.masks == ()
    assert found.boxes_xyxy_px.shape == (0, 4)


@pytest.mark.parametrize("device", ["AUTO", "CPU", "AUTO:CPU"])
def test_one_found(tmp_path: Path, device: str) -> None:
    engine = Engine(save_toy_model(tmp_path / "m.xml", ONE), device=device, precision="f32")
    found = engine.detect(blank())
    assert found.boxes_xyxy_px.tolist() == [[10, 20, 30, 40]]
    assert found.labels.tolist() == [1]
    assert found.masks is not None
    assert (found.masks[0].x, found.masks[0].y, found.masks[0].area) == (10, 20, 396)
    # 400 less the four corners, where the interpolated value is just below one half
    assert engine.precision == "f32"
    assert engine.execution_devices == ("CPU",)


def test_a_detector_has_no_masks(tmp_path: Path) -> None:
    contract = toy_contract(mask_frame=None)
    assert Engine(save_toy_model(tmp_path / "m.xml", ONE, contract)).detect(blank()).masks is None


def test_min_score_and_order(tmp_path: Path) -> None:
    many = [((0.0, 0.0, 9.0, 9.0), score, 0) for score in (0.2, 0.9, 0.5)]
    engine = Engine(save_toy_model(tmp_path / "m.xml", many), precision="f32")
    scores = engine.detect(blank(), min_score=0.5).scores
    assert scores.tolist() == pytest.approx([0.9, 0.5])
    assert len(engine.detect(blank(), max_detections=1)) == 1


def test_many_threads_share_one_engine(tmp_path: Path) -> None:
    engine = Engine(save_toy_model(tmp_path / "m.xml", ONE), precision="f32")
    results: list[int] = []
    threads = [
        threading.Thread(target=lambda i=i: results.append(len(engine.detect(blank(50 + i)))))
        for i in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [1] * 16


def test_rows_that_nobody_may_see_are_dropped() -> None:
    boxes = np.array(
        [
            [np.nan, 0, 5, 5, 0.9],
            [0, 0, 5, 5, np.inf],
            [5, 5, 5, 9, 0.9],  # no area
            [200, 5, 250, 9, 0.9],  # outside the image
            [0, 0, 5, 5, 0.8],
            [0, 0, 5, 5, 0.8],
        ],
        np.float32,
    )
    raw = RawOutputs(boxes, np.array([0, 0, 0, 0, -1, 2]), np.ones((6, 4, 4), np.float32))
    contract = toy_contract()
    found = decode(raw, plan_resize(contract.resize, 100, 80), contract)
    assert found.labels.tolist() == [2]


def test_boxes_are_clipped_to_the_image() -> None:
    raw = RawOutputs(np.array([[-5, -5, 500, 500, 0.9]], np.float32), np.array([0]), None)
    contract = toy_contract(mask_frame=None)
    found = decode(raw, plan_resize(contract.resize, 100, 80), contract)
    assert found.boxes_xyxy_px.tolist() == [[0, 0, 100, 80]]


@pytest.mark.parametrize("frame", ["box", "image"])
def test_both_mask_frames(tmp_path: Path, frame: str) -> None:
    masks = np.zeros((1, 8, 8), np.float32)
    masks[:, :4, :4] = 1  # the left upper quarter
    contract = toy_contract(mask_frame=frame)  # type: ignore[arg-type]
    path = save_toy_model(tmp_path / "m.xml", [((0, 0, 40, 40), 0.9, 0)], contract, masks)
    found = Engine(path, precision="f32").detect(blank(160, 80))
    assert found.masks is not None
    height, width = found.masks[0].pixels.shape
    # in the box: a quarter of 40x40; in the image: a quarter of 160x80, cut to the box
    assert (width, height) == ((20, 20) if frame == "box" else (40, 40))


@pytest.mark.parametrize(
    ("device", "precision", "reason"),
    [
        ("GPU", "auto", "no device 'GPU' here; OpenVINO sees CPU"),
        ("AUTO:NPU,CPU", "auto", "no device 'NPU'"),
        ("nonsense", "auto", "no device 'nonsense'"),
        ("CPU", "f16", "does not compute in f16, only in"),
    ],
)
def test_devices_that_are_not_there(
    tmp_path: Path, device: str, precision: str, reason: str
) -> None:
    path = save_toy_model(tmp_path / "m.xml", ONE)
    if device == "CPU" and "f16" in list_devices()[0].precisions:
        pytest.skip("this CPU computes in f16")
    with pytest.raises(DeviceError, match=reason):
        Engine(path, device=device, precision=precision)  # type: ignore[arg-type]


def test_devices_answer() -> None:
    cpu = next(device for device in list_devices() if device.name == "CPU")
    assert cpu.full_name
    assert "f32" in cpu.precisions
    assert cpu.problem == ""


def test_facts_come_back(tmp_path: Path) -> None:
    contract = toy_contract(("stop sign", "Ampel äöü"), resize="fit:64x32")
    assert load_contract(save_toy_model(tmp_path / "m.xml", ONE, contract)) == contract


def test_model_api_reads_the_labels(tmp_path: Path) -> None:
    path = save_toy_model(tmp_path / "m.xml", ONE)
    info = ov.Core().read_model(path).get_rt_info(["model_info", "labels"]).astype(str)
    assert info == "background person car traffic_light"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: p / "none.xml", "no model file"),
        (lambda p: _write(p / "m.onnx", b"x"), "not an OpenVINO IR.*labelvino-model convert"),
        (lambda p: _write(p / "m.xml", b"<net/>"), "no weights beside it"),
        (lambda p: _pair(p, b"<net", b""), "cannot be read"),
        (lambda p: _foreign(p), "does not say what.*labelvino-model convert"),
        (lambda p: _foreign(p, tile_size="400"), "tiling"),
        (lambda p: _foreign(p, labelvino="{"), "damaged"),
        (lambda p: _foreign(p, labelvino='{"version": 99}'), "version 99"),
    ],
)
def test_files_that_are_no_model_of_ours(tmp_path: Path, make: object, reason: str) -> None:
    with pytest.raises(ContractError, match=reason):
        Engine(make(tmp_path))  # type: ignore[operator]


def test_truncated_weights_are_refused(tmp_path: Path) -> None:
    path = save_toy_model(tmp_path / "m.xml", ONE)
    path.with_suffix(".bin").write_bytes(b"")
    with pytest.raises(ContractError, match="cannot be read"):
        Engine(path)


def test_a_model_without_the_promised_outputs_is_refused(tmp_path: Path) -> None:
    path = save_toy_model(tmp_path / "m.xml", ONE, toy_contract(mask_frame=None))
    model = ov.Core().read_model(path)
    write_contract(model, toy_contract())
    with pytest.raises(ContractError, match="must have the outputs"):
        read_contract(model)


def test_the_digest_follows_what_is_computed_only(tmp_path: Path) -> None:
    same = [save_toy_model(tmp_path / f"{i}.xml", ONE, _dated(str(i))) for i in range(2)]
    other = save_toy_model(tmp_path / "o.xml", [((10.0, 20.0, 30.0, 41.0), 0.9, 1)])
    assert ir_digest(same[0]) == ir_digest(same[1])
    assert ir_digest(same[0]) != ir_digest(other)
    engines = [Engine(path) for path in same]
    assert engines[0].model_digest == engines[1].model_digest
    renamed = replace(toy_contract(), labels=(Label(1, "a"), Label(2, "b"), Label(3, "c")))
    labels = Engine(save_toy_model(tmp_path / "l.xml", ONE, renamed))
    assert labels.model_digest != engines[0].model_digest


def _dated(day: str) -> ModelContract:
    return replace(toy_contract(), converted_at=day, converter_version=day)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _pair(folder: Path, xml: bytes, weights: bytes) -> Path:
    _write(folder / "m.bin", weights)
    return _write(folder / "m.xml", xml)


def _foreign(folder: Path, **model_info: str) -> Path:
    path = save_toy_model(folder / "t.xml", ONE)
    model = ov.Core().read_model(path)
    model.set_rt_info({"model_type": "MaskRCNN", **model_info}, "model_info")
    ov.save_model(model, folder / "m.xml")
    return folder / "m.xml"
