"""The demo's scenes as picture files with their truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from pycocotools import mask as rle

from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import CATEGORIES, FIRST_UNSEEN_SEED, draw_scene

FIRST_SEED = FIRST_UNSEEN_SEED + 2000  # apart from those of other tests


def write_scenes(folder: Path, first: int, count: int) -> Path:
    """`folder`/scene-N.jpg and the COCO file beside them, which comes back."""
    folder.mkdir()
    images, annotations = [], []
    for number in range(first, first + count):
        scene = draw_scene(FIRST_SEED + number)
        name = f"scene-{number:03}.jpg"
        (folder / name).write_bytes(encode_jpeg(scene))
        height, width = scene.pixels.shape[:2]
        images.append({"id": number + 1, "file_name": name, "width": width, "height": height})
        for instance in scene.instances:
            x1, y1, x2, y2 = instance.box_xyxy_px
            encoded = rle.encode(np.asfortranarray(instance.mask, np.uint8))
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number + 1,
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
    truth = folder / "instances.json"
    truth.write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    return truth
