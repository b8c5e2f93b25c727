"""A sheet of `labelvino review` over drawn scenes whose annotations have faults."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from backend.corrections.crop_sheets import write_sheets
from backend.corrections.history import AnnotatedTask
from backend.corrections.reviewer import Reviewer
from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, Instance, Scene, draw_scene
from backend.fair_pool import FairPool
from backend.labelstudio.brush_rle import encode_brush
from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import parse_label_config
from backend.predictor import Predictor, PredictorOptions
from backend.runtime.detections import MaskCrop
from backend.runtime.engine import Engine
from backend.runtime.image import ImageLimits
from backend.runtime.overlay import label_colours

SCENES = 40
LABEL = "umbrella"
Row = dict[str, Any]


class _Scenes:
    """Drawn scenes by their address."""

    def __init__(self, scenes: Mapping[str, Scene]) -> None:
        self._scenes = scenes

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        return encode_jpeg(self._scenes[url])


def take_review_picture(folder: Path) -> Path:
    """Of all sheets that it writes into `folder`, the one of umbrellas."""
    scenes = {f"{n}.jpg": draw_scene(FIRST_UNSEEN_SEED + n) for n in range(1, SCENES + 1)}
    engine = Engine(MODEL_PATH, device="CPU", precision="f32")
    labels = engine.contract.label_names
    xml = write_label_config(labels, ("brush",), label_colours(labels))
    pool = FairPool(2)
    try:
        predictor = Predictor(engine, _Scenes(scenes), PredictorOptions(), pool)
        reviewer = Reviewer(predictor, predictor.plan(xml), pool, 0.3)
        reviewer.add([_annotated(n, scene) for n, scene in enumerate(scenes.values(), start=1)])
    finally:
        pool.close()
    written = write_sheets(
        folder, reviewer.findings(), parse_label_config(xml), _Scenes(scenes), ImageLimits()
    )
    return next(path for path in written if path.name.startswith(f"review-{LABEL}"))


def _annotated(number: int, scene: Scene) -> AnnotatedTask:
    """The scene's truth with a fault: a kite is called umbrella, an umbrella invented or lost."""
    result = []
    for i, instance in enumerate(scene.instances):
        mistaken = number % 3 == 0 and instance.name == "kite"
        if number % 3 == 2 and instance.name == LABEL:
            continue
        result.append(_region(f"{i}", instance, LABEL if mistaken else instance.name, scene))
        if number % 3 == 1 and instance.name == LABEL:
            result.append(_region(f"{i}-twice", instance, LABEL, scene, mirrored=True))
    now = datetime.now(UTC)
    data = {"image": f"{number}.jpg"}
    return AnnotatedTask(
        number, data, number, tuple(result), None, now, now, None, None, None, False
    )


def _region(
    region_id: str, instance: Instance, label: str, scene: Scene, *, mirrored: bool = False
) -> Row:
    height, width = scene.pixels.shape[:2]
    mask = instance.mask[::-1, ::-1] if mirrored else instance.mask
    rle = encode_brush(MaskCrop(0, 0, mask.astype(bool)), width, height)
    return {
        "id": region_id, "type": "brushlabels", "from_name": "brush", "to_name": "image",
        "original_width": width, "original_height": height, "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": [label]},
    }  # fmt: skip
