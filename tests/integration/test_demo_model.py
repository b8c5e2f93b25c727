"""The demo's model as it ships, on scenes that its training never saw."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from coco_eval import average_precision, coco_results
from matching import Agreement, agreement
from pycocotools import mask as rle
from sdk import ROOT, environment_python

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import CATEGORIES, FIRST_UNSEEN_SEED, Scene, draw_scene
from backend.runtime.contract import ir_digest
from backend.runtime.engine import Engine, RawOutputs, load_contract
from backend.runtime.image import DecodedImage, decode_image

COMMAND = Path(sys.executable).with_name("labelvino-model")
ORACLE = ROOT / "tests" / "oracles" / "saved_model_oracle.py"
SAVED_MODEL = ROOT / "training" / "saved_model"
LABELS = ROOT / "training" / "labels.txt"
SCENES = 64
# The demo's shape, and others.
SIZES = ((480, 320), (480, 320), (480, 320), (640, 427), (320, 400))


@pytest.fixture(scope="module")
def scenes() -> dict[int, Scene]:
    """By image id."""
    seeds = range(FIRST_UNSEEN_SEED, FIRST_UNSEEN_SEED + SCENES)
    return {i: draw_scene(seed, *SIZES[i % len(SIZES)]) for i, seed in enumerate(seeds, 1)}


@pytest.fixture(scope="module")
def pictures(scenes: dict[int, Scene]) -> dict[int, DecodedImage]:
    return {i: decode_image(encode_jpeg(scene)) for i, scene in scenes.items()}


@pytest.fixture(scope="module")
def truth_json(scenes: dict[int, Scene], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("truth") / "instances.json"
    path.write_text(json.dumps(coco_truth(scenes)))
    return path


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(MODEL_PATH, device="CPU", precision="f32")


def test_accuracy(
    engine: Engine,
    pictures: dict[int, DecodedImage],
    truth_json: Path,
    record_property: Callable[[str, object], None],
) -> None:
    found = {i: engine.detect(picture) for i, picture in pictures.items()}
    results = coco_results(found, [label.id for label in engine.contract.labels])
    figures = {
        "mask AP50": average_precision(results, truth_json, "segm", iou="0.50"),
        "mask AP": average_precision(results, truth_json, "segm"),
        "box AP": average_precision(results, truth_json, "bbox"),
    }
    for name, value in figures.items():
        record_property(name, value)
    print(", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    assert figures["mask AP50"] >= 0.90


def test_a_picture_without_things_has_no_detections(engine: Engine) -> None:
    grey = DecodedImage(np.full((90, 120, 3), 128, np.uint8), 1, "")
    assert len(engine.detect(grey, min_score=0.3)) == 0


def test_category_ids_are_those_of_coco(engine: Engine) -> None:
    assert {label.id: label.name for label in engine.contract.labels} == CATEGORIES


def test_the_shipped_files_are_small() -> None:
    files = [MODEL_PATH, MODEL_PATH.with_suffix(".bin")]
    assert sum(path.stat().st_size for path in files) < 1.6e6


def test_the_shipped_ir_is_what_the_command_makes(tmp_path: Path) -> None:
    again = convert(tmp_path / "again.xml")
    assert ir_digest(again) == ir_digest(MODEL_PATH)
    assert load_contract(again).source_digest == load_contract(MODEL_PATH).source_digest


def test_the_ir_agrees_with_its_saved_model_in_tensorflow(
    engine: Engine, pictures: dict[int, DecodedImage], tmp_path: Path
) -> None:
    """f32 arithmetic everywhere; the shipped IR has FP16 weights, another one f32 weights."""
    chosen = {str(i): picture for i, picture in pictures.items()}
    expected = tensorflow_answers(chosen, engine, tmp_path)
    full = Engine(
        convert(tmp_path / "full.xml", "--no-compress-to-fp16"), device="CPU", precision="f32"
    )
    exact, shipped = Agreement(), Agreement()
    for key, picture in chosen.items():
        exact += agreement(full.infer(picture)[0], expected[key], 0.1)
        shipped += agreement(engine.infer(picture)[0], expected[key], 0.1)
    print(f"f32 weights {exact}\nFP16 weights {shipped}")
    assert exact.pairs > 2 * SCENES
    assert exact.share == 1.0
    assert exact.box_px <= 0.05
    assert exact.score <= 1e-3
    assert exact.mask <= 1e-2
    assert shipped.share >= 0.99
    assert shipped.box_px <= 1.0
    assert shipped.score <= 0.02


def convert(target: Path, *options: str) -> Path:
    command = [COMMAND, "convert", SAVED_MODEL, "-o", target, "--labels", LABELS, *options]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return target


def tensorflow_answers(
    pictures: dict[str, DecodedImage], engine: Engine, folder: Path
) -> dict[str, RawOutputs]:
    python = environment_python("tensorflow", "LABELVINO_TENSORFLOW_PYTHON")
    np.savez(folder / "pixels.npz", **{key: p.pixels for key, p in pictures.items()})
    command = [python, ORACLE, SAVED_MODEL, folder / "pixels.npz", folder / "answers.npz"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    index_of = {label.id: index for index, label in enumerate(engine.contract.labels)}
    answers = {}
    with np.load(folder / "answers.npz") as found:
        for key, picture in pictures.items():
            size = np.float32([picture.width, picture.height] * 2)
            boxes = found[f"{key}/detection_boxes"][:, [1, 0, 3, 2]] * size
            classes = found[f"{key}/detection_classes"].tolist()
            answers[key] = RawOutputs(
                np.column_stack([boxes, found[f"{key}/detection_scores"]]).astype(np.float32),
                np.array([index_of[round(c)] for c in classes], np.int64),
                found[f"{key}/detection_masks"],
            )
    return answers


def coco_truth(scenes: dict[int, Scene]) -> dict[str, list[dict[str, object]]]:
    images, annotations = [], []
    for image_id, scene in scenes.items():
        height, width = scene.pixels.shape[:2]
        images.append({"id": image_id, "width": width, "height": height})
        for instance in scene.instances:
            x1, y1, x2, y2 = instance.box_xyxy_px
            encoded = rle.encode(np.asfortranarray(instance.mask, np.uint8))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": instance.category_id,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": int(instance.mask.sum()),
                    "iscrowd": 0,
                    "segmentation": {
                        "size": encoded["size"],
                        "counts": encoded["counts"].decode("ascii"),
                    },
                }
            )
    categories = [{"id": key, "name": name} for key, name in CATEGORIES.items()]
    return {"images": images, "annotations": annotations, "categories": categories}
