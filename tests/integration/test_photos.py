"""The real model on the real photos."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from backend.runtime.coco_rle import encode_coco
from backend.runtime.detections import Detections
from backend.runtime.polygons import PolygonDetail, polygons
from tests.coco_eval import average_precision


def test_default_polygons_keep_the_mask_in_few_points(
    photo_detections: dict[int, Detections],
) -> None:
    overlaps, points = [], []
    for found in (each.above(0.5) for each in photo_detections.values()):
        assert found.masks is not None
        for mask in found.masks:
            rings = polygons(mask, PolygonDetail())
            if not rings:
                continue
            drawn = coco_mask.merge(
                coco_mask.frPyObjects(
                    [r.ravel().tolist() for r in rings], found.height, found.width
                )
            )
            truth = encode_coco(mask, found.width, found.height)
            overlaps.append(coco_mask.iou([drawn], [truth], [0])[0][0])
            points += [len(ring) for ring in rings]
    assert len(overlaps) > 300
    assert np.mean(overlaps) >= 0.97
    assert min(overlaps) >= 0.95
    assert max(points) <= 80
    assert np.mean(points) <= 12


def test_predict_writes_coco_results_that_pycocotools_evaluates(
    photo_model: Path, photos_dir: Path, instances_json: Path, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from backend.cli import main; main()", "predict", photos_dir,
         "--model", photo_model, "--out", tmp_path, "--format", "coco",
         "--annotations", instances_json, "--precision", "f32", "--json"],
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["precision"] == "f32"
    results = json.loads((tmp_path / "predictions.json").read_text())
    assert average_precision(results, instances_json, "segm") >= 0.255
    assert average_precision(results, instances_json, "bbox") >= 0.285
