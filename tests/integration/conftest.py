"""The real model and what it finds in the real photos, once a session."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.image import decode_image


@pytest.fixture(scope="session")
def photo_model(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real Mask R-CNN, converted; its labels are COCO's 80."""
    from converter.convert import convert
    from converter.facts import Wishes

    source = shared_dir / "models" / "mask_rcnn_2go_tf" / "frozen_inference_graph.pb"
    target = tmp_path_factory.mktemp("model") / "mask_rcnn_2go.xml"
    convert(source, target, Wishes(labels="coco91"))
    return target


@pytest.fixture(scope="session")
def photo_engine(photo_model: Path) -> Engine:
    return Engine(photo_model, precision="f32")


@pytest.fixture(scope="session")
def photo_detections(
    photo_engine: Engine, photos_dir: Path, instances_json: Path
) -> dict[int, Detections]:
    """From a score of 0.05 on, by COCO's image id."""
    images = json.loads(instances_json.read_text())["images"]
    return {
        int(image["id"]): photo_engine.detect(
            decode_image((photos_dir / image["file_name"]).read_bytes()), min_score=0.05
        )
        for image in images
    }
