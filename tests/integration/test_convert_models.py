"""Real models through the real command, measured on real photos at f32."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from coco_eval import average_precision, coco_results
from matching import Agreement, agreement
from sdk import environment_python

from backend.runtime.contract import ir_digest
from backend.runtime.engine import Engine, RawOutputs, decode
from backend.runtime.image import DecodedImage, decode_image
from backend.runtime.resize import ResizeGeometry, resize_image

COMMAND = Path(sys.executable).with_name("labelvino-model")
ORACLE = Path(__file__).with_name("tensorflow_oracle.py")
GRAPH = "mask_rcnn_2go_tf/frozen_inference_graph.pb"
ONNX = "mask_rcnn_2go_onnx/mask_rcnn_2go_fp32.onnx"
IR = "mask_rcnn_2go_ir/mask_rcnn_2go_FP16.xml"
PREPARED = ("--labels", "coco80", "--resize", "shortest-edge:320:640", "--color-order", "bgr")
SOURCES = {
    "frozen graph": (GRAPH, "--labels", "coco91"),
    "SavedModel": ("mask_rcnn_2go_tf/saved_model", "--labels", "coco91"),
    "ONNX": (ONNX, *PREPARED),
    "IR": (IR, *PREPARED),
}
OTHERS = {
    "frozen graph f32": (GRAPH, "--labels", "coco91", "--no-compress-to-fp16"),
    "ONNX f32": (ONNX, *PREPARED, "--no-compress-to-fp16"),
    "ONNX QDQ": ("mask_rcnn_2go_onnx/mask_rcnn_2go_qdq_int8.onnx", *PREPARED),
    "IR INT8": ("mask_rcnn_2go_ir/mask_rcnn_2go_INT8.xml", *PREPARED),
    "detector": ("mask_rcnn_2go_ir/faster_rcnn_2go_FP16.xml", *PREPARED),
}
F32 = {"INFERENCE_PRECISION_HINT": "f32"}
Answers = list[tuple[RawOutputs, ResizeGeometry]]


@pytest.fixture(scope="module")
def photos(photos_dir: Path) -> dict[int, DecodedImage]:
    """By COCO's image id, which is the file's name."""
    return {int(p.stem): decode_image(p.read_bytes()) for p in sorted(photos_dir.iterdir())}


@pytest.fixture(scope="module")
def converted(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Convert by the real command, each source once."""
    folder = tmp_path_factory.mktemp("converted")

    @functools.cache
    def convert(name: str) -> Path:
        source, *options = (SOURCES | OTHERS)[name]
        target = folder / f"{name.replace(' ', '_')}.xml"
        command = [COMMAND, "convert", shared_dir / "models" / source, "-o", target, *options]
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout == ""
        return target

    return convert


@pytest.fixture(scope="module")
def answers(
    converted: Callable[[str], Path], photos: dict[int, DecodedImage]
) -> Callable[[str], Answers]:
    """What a converted model says of all photos at f32.

    Two IRs with one digest compute the same (weights, operations, connections): they run once.
    """
    found: dict[str, Answers] = {}

    def run(name: str) -> Answers:
        path = converted(name)
        digest = ir_digest(path)
        if digest not in found:
            engine = Engine(path, device="CPU", precision="f32")
            found[digest] = [engine.infer(photo) for photo in photos.values()]
        return found[digest]

    return run


@pytest.mark.parametrize("name", SOURCES)
def test_accuracy(
    name: str,
    converted: Callable[[str], Path],
    answers: Callable[[str], Answers],
    photos: dict[int, DecodedImage],
    instances_json: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Reference pipelines give 0.261-0.265 for masks and 0.293 for boxes."""
    contract = Engine(converted(name), device="CPU").contract
    found = {
        image_id: decode(raw, geometry, contract)
        for image_id, (raw, geometry) in zip(photos, answers(name), strict=True)
    }
    results = coco_results(found, [label.id for label in contract.labels])
    mask_ap = average_precision(results, instances_json, "segm")
    box_ap = average_precision(results, instances_json, "bbox")
    record_property("mask_ap", mask_ap)
    record_property("box_ap", box_ap)
    print(f"{name}: mask AP {mask_ap:.4f}, box AP {box_ap:.4f}")
    assert mask_ap >= 0.255
    assert box_ap >= 0.285


def test_frozen_graph_and_saved_model_are_the_same(answers: Callable[[str], Answers]) -> None:
    total = compare(answers("frozen graph"), answers("SavedModel"))
    assert total.share == 1.0
    assert total.box_px == 0.0


def test_onnx_and_ir_give_the_same_detections(answers: Callable[[str], Answers]) -> None:
    total = compare(answers("ONNX"), answers("IR"))
    assert total.pairs > 1000
    assert total.share == 1.0
    assert total.box_px <= 0.5
    assert total.mask <= 1e-3


@pytest.mark.parametrize(("name", "source"), [("ONNX f32", ONNX), ("IR", IR)])
def test_the_adapter_changes_nothing(
    name: str,
    source: str,
    shared_dir: Path,
    converted: Callable[[str], Path],
    photos: dict[int, DecodedImage],
) -> None:
    """Against the source itself in OpenVINO, fed with pixels prepared by hand."""
    engine = Engine(converted(name), device="CPU", precision="f32")
    plain = ov.Core().compile_model(shared_dir / "models" / source, "CPU", F32)
    total = Agreement()
    for photo in list(photos.values())[::4]:
        pixels, _ = resize_image(photo, engine.contract.resize)
        bgr = np.ascontiguousarray(pixels[..., ::-1].transpose(0, 3, 1, 2), np.float32)
        answer = plain({0: bgr})
        expected = RawOutputs(answer["boxes"], answer["labels"], answer["masks"])
        total += agreement(engine.infer(photo)[0], expected, 0.05)
    assert total.pairs > 200
    assert total.share == 1.0
    assert total.box_px <= 0.5
    assert total.mask <= 1e-3


def test_frozen_graph_against_tensorflow(
    shared_dir: Path,
    converted: Callable[[str], Path],
    photos: dict[int, DecodedImage],
    tmp_path: Path,
) -> None:
    """f32 on both sides, the same decoded pixels. Measured over all 47 photos: 1342 instances,
    every one matched, boxes within 0.003 px, scores within 7e-5, masks within 2e-4."""
    python = environment_python("tensorflow", "LABELVINO_TENSORFLOW_PYTHON")
    chosen = {str(key): photo for key, photo in list(photos.items())[::6]}
    np.savez(tmp_path / "pixels.npz", **{key: photo.pixels for key, photo in chosen.items()})
    graph = shared_dir / "models" / GRAPH
    command = [python, ORACLE, graph, tmp_path / "pixels.npz", tmp_path / "answers.npz"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    engine = Engine(converted("frozen graph f32"), device="CPU", precision="f32")
    index_of = {label.id: index for index, label in enumerate(engine.contract.labels)}
    total = Agreement()
    with np.load(tmp_path / "answers.npz") as answered:
        for key, photo in chosen.items():
            expected = RawOutputs(
                _pixels(answered[f"{key}/boxes"], answered[f"{key}/scores"], photo),
                np.array([index_of[round(c)] for c in answered[f"{key}/classes"].tolist()]),
                answered[f"{key}/masks"],
            )
            total += agreement(engine.infer(photo)[0], expected, 0.05)
    assert total.pairs > 100
    assert total.share == 1.0
    assert total.box_px <= 0.5
    assert total.score <= 1e-3
    assert total.mask <= 1e-2


@pytest.mark.parametrize(
    ("name", "precision"),
    [
        ("frozen graph f32", "f32"),
        ("ONNX", "f16"),
        ("IR", "f16"),
        ("ONNX QDQ", "int8"),
        ("IR INT8", "int8"),
    ],
)
def test_weights_keep_their_precision(
    name: str, precision: str, converted: Callable[[str], Path]
) -> None:
    contract = Engine(converted(name), device="CPU").contract
    assert contract.precision == precision
    megabytes = converted(name).with_suffix(".bin").stat().st_size / 1e6
    assert megabytes == pytest.approx({"f32": 14.5, "f16": 7.27, "int8": 3.69}[precision], rel=0.02)


@pytest.mark.parametrize("name", ["ONNX QDQ", "IR INT8", "detector"])
def test_int8_and_detectors_detect(
    name: str, converted: Callable[[str], Path], photos: dict[int, DecodedImage]
) -> None:
    engine = Engine(converted(name), device="CPU")
    found = [engine.detect(photo, min_score=0.5) for photo in list(photos.values())[:4]]
    assert sum(len(detections) for detections in found) >= 8
    assert all((detections.masks is None) == (name == "detector") for detections in found)


def test_the_same_source_gives_the_same_digest(
    shared_dir: Path, converted: Callable[[str], Path], tmp_path: Path
) -> None:
    again = tmp_path / "other name.xml"
    command = [COMMAND, "convert", shared_dir / "models" / GRAPH, "-o", again, "--json"]
    done = subprocess.run(
        [*command, "--labels", "coco91"], check=False, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ir_digest"] == ir_digest(converted("frozen graph"))
    assert ir_digest(again) == ir_digest(converted("frozen graph"))


def test_no_path_and_no_conversion_parameters_in_the_ir(
    converted: Callable[[str], Path], shared_dir: Path
) -> None:
    for name in ("frozen graph", "IR"):
        text = converted(name).read_text()
        assert "conversion_parameters" not in text
        assert str(shared_dir) not in text


def compare(one: Answers, other: Answers) -> Agreement:
    total = Agreement()
    for (raw, _), (other_raw, _) in zip(one, other, strict=True):
        total += agreement(raw, other_raw, 0.05)
    return total


def _pixels(fractions: np.ndarray, scores: np.ndarray, photo: DecodedImage) -> np.ndarray:
    size = np.float32([photo.width, photo.height] * 2)
    return np.column_stack([fractions[:, [1, 0, 3, 2]] * size, scores]).astype(np.float32)
