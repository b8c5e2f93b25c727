"""How others run the same IR and make polygons or brush masks of it, as candidates.

    python benchmarks/peers.py WAY MODEL.xml PHOTOS SETTINGS

Runs in an environment of its own (`make env-peers`). Each way was written anew after reading the
original, keeps what it does to masks and when it infers, and ends in what Label Studio takes. One
photo at a time, as all of them do; OpenVINO is compiled for LATENCY, which is its best for that.
"""

from __future__ import annotations

import base64
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
from PIL import Image

from benchmarks.candidate import answer_rounds

MIN_SCORE = 0.5
TOLERANCE_PX = 2.5  # of polygons, as CVAT's function has it


def main() -> None:
    way, path, folder, settings = sys.argv[1:5]
    photos = sorted(Path(folder).iterdir())
    predict = open_way(way, path, json.loads(settings))

    def do(count: int) -> str:
        made = [predict(photos[i % len(photos)]) for i in range(count)]
        text = json.dumps(made)
        return f"{sum(map(len, made))} regions, {len(text)} bytes"

    answer_rounds(do)


class Model:
    """The IR by the contract: its resize rule, and boxes back in pixels of the photo."""

    def __init__(self, path: str, settings: dict[str, Any]) -> None:
        core = ov.Core()
        config = {"PERFORMANCE_HINT": "LATENCY"}
        if settings["precision"] != "auto":
            config["INFERENCE_PRECISION_HINT"] = settings["precision"]
        self._compiled = core.compile_model(path, "CPU", config)
        self._short, self._long = settings["short"], settings["long"]

    def __call__(self, rgb: np.ndarray) -> Iterator[tuple[np.ndarray, float, int, np.ndarray]]:
        """Box, score, label and mask of each instance that is shown."""
        height, width = rgb.shape[:2]
        scale = min(self._short / min(width, height), self._long / max(width, height))
        size = (round(width * scale), round(height * scale))
        found = self._compiled({"image": cv2.resize(rgb, size)[np.newaxis]})
        boxes, labels, masks = found["boxes"], found["labels"], found["masks"]
        back = np.array([width / size[0], height / size[1]] * 2)
        for row, label, mask in zip(boxes, labels, masks, strict=True):
            if row[4] >= MIN_SCORE:
                box = np.clip(row[:4] * back, 0, [width, height, width, height])
                if box[2] - box[0] >= 1 and box[3] - box[1] >= 1:
                    yield box, float(row[4]), int(label), mask


Found = Iterable[tuple[np.ndarray, float, int, np.ndarray]]
"""Box f32 [4] in pixels of the photo, score, label, mask f32 [h, w], for each instance."""
Decode = Callable[[Found, int, int], list[dict[str, Any]]]
"""Instances, height and width of the photo -> regions."""


def notebook(found: Found, height: int, width: int) -> list[dict[str, Any]]:
    """OpenVINO's notebook on TensorFlow instance segmentation: each mask is warped to the frame."""
    regions = []
    for box, score, label, mask in found:
        rows, columns = mask.shape
        source = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], np.float32)
        target = np.array([box[[0, 1]], box[[2, 1]], box[[2, 3]], box[[0, 3]]], np.float32)
        matrix = cv2.getPerspectiveTransform(source, target)
        frame = cv2.warpPerspective(mask, matrix, (width, height), flags=cv2.INTER_CUBIC)
        rings = _contours((frame > 0.5).astype(np.uint8))
        regions += _polygons(rings, width, height, score, label)
    return regions


def cvat(found: Found, height: int, width: int) -> list[dict[str, Any]]:
    """CVAT's serverless Mask R-CNN: a full frame and scikit-image's contours for each."""
    from skimage.measure import approximate_polygon, find_contours

    regions = []
    for box, score, label, mask in found:
        x1, y1, x2, y2 = np.trunc(box).astype(int).tolist()
        x2, y2 = min(x2, width - 1), min(y2, height - 1)
        frame = np.zeros((height, width), np.uint8)
        size = (x2 - x1 + 1, y2 - y1 + 1)
        resized = cv2.resize(mask, size, interpolation=cv2.INTER_CUBIC)
        frame[y1 : y2 + 1, x1 : x2 + 1] = (resized > 0.5) * np.uint8(255)
        cells = [*frame[y1 : y2 + 1, x1 : x2 + 1].ravel().tolist(), x1, y1, x2, y2]
        contours = find_contours(frame, 0.5)
        if not contours:
            continue
        ring = approximate_polygon(np.flip(contours[0], axis=1), tolerance=TOLERANCE_PX)
        if len(ring) >= 3:
            points = ring.ravel().tolist()
            regions.append({"points": points, "mask": cells, "score": score, "label": label})
    return regions


def yolo_example(found: Found, height: int, width: int) -> list[dict[str, Any]]:
    """Label Studio's YOLO example with a brush control: full frames and the SDK's encoder.

    It infers once for each control tag; here there is one.
    """
    from label_studio_sdk.converter.brush import mask2rle

    regions = []
    for box, score, label, mask in found:
        frame = _frame(mask, box, height, width).astype(np.uint8) * 255
        regions.append({"format": "rle", "rle": mask2rle(frame), "score": score, "label": label})
    return regions


def supervision(found: Found, height: int, width: int) -> list[dict[str, Any]]:
    """supervision's compact masks, one frame at a time, and its polygons of their crops."""
    import supervision as sv

    regions = []
    for box, score, label, mask in found:
        dense = _frame(mask, box, height, width)[np.newaxis]
        compact = sv.CompactMask.from_dense(dense, box[np.newaxis], (height, width))
        rings = [ring + compact.offsets[0] for ring in sv.mask_to_polygons(compact.crop(0))]
        regions += _polygons(rings, width, height, score, label)
    return regions


def model_api(found: Found, height: int, width: int) -> list[dict[str, Any]]:
    """openvino-model-api's MaskRCNN: full frames of all instances, then OpenCV's contours."""
    from model_api.models.instance_segmentation import MaskRCNNModel

    rows = list(found)
    paste = MaskRCNNModel._postprocess_single_mask
    frames = np.stack(
        [paste(None, box.astype(np.int32), mask, height, width) for box, _, _, mask in rows]
    )
    regions = []
    for frame, (_, score, label, _) in zip(frames, rows, strict=True):
        regions += _polygons(_contours(frame), width, height, score, label)
    return regions


def open_way(way: str, path: str, settings: dict[str, Any]) -> Callable[[Path], list[Any]]:
    """From a photo's file to its regions."""
    if way == "model-api":
        return _open_model_api(path, settings)
    model, decode = Model(path, settings), DECODE[way]

    def predict(photo: Path) -> list[Any]:
        if way == "cvat":  # the photo comes as base64, and Pillow reads it
            body = base64.b64encode(photo.read_bytes())
            rgb = np.array(Image.open(io.BytesIO(base64.b64decode(body))).convert("RGB"))
        else:
            rgb = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
        return decode(model(rgb), *rgb.shape[:2])

    return predict


def _open_model_api(path: str, settings: dict[str, Any]) -> Callable[[Path], list[Any]]:
    """The whole of Model API. It takes no dynamic input, so that the IR is reshaped to what a
    640x480 photo becomes."""
    from model_api.adapters import OpenvinoAdapter, create_core
    from model_api.models import MaskRCNNModel

    config: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if settings["precision"] != "auto":
        config["INFERENCE_PRECISION_HINT"] = settings["precision"]
    core = create_core()
    ir = core.read_model(path)
    ir.reshape({"image": [1, settings["short"], round(settings["short"] * 4 / 3), 3]})
    with tempfile.TemporaryDirectory() as folder:
        fixed = Path(folder) / "fixed.xml"
        ov.save_model(ir, fixed, compress_to_fp16=False)
        adapter = OpenvinoAdapter(
            core, str(fixed), device="CPU", plugin_config=config, max_num_requests=1
        )
        shown = {"confidence_threshold": MIN_SCORE, "resize_type": "standard"}
        model = MaskRCNNModel(adapter, shown, preload=True)

    def predict(photo: Path) -> list[Any]:
        rgb = cv2.cvtColor(cv2.imread(str(photo)), cv2.COLOR_BGR2RGB)
        height, width = rgb.shape[:2]
        found = model(rgb)
        regions = []
        for mask, score, label in zip(found.masks, found.scores, found.labels, strict=True):
            regions += _polygons(_contours(mask), width, height, float(score), int(label))
        return regions

    return predict


def _frame(mask: np.ndarray, box: np.ndarray, height: int, width: int) -> np.ndarray:
    """The mask, bool [height, width], resized into its box."""
    x1, y1, x2, y2 = np.round(box).astype(int).tolist()
    x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    frame = np.zeros((height, width), np.bool_)
    resized = cv2.resize(mask, (x2 - x1, y2 - y1)) > 0.5
    frame[y1:y2, x1:x2] = resized[: height - y1, : width - x1]
    return frame


def _contours(frame: np.ndarray) -> list[np.ndarray]:
    found, _ = cv2.findContours(frame, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return [contour[:, 0] for contour in found]


def _polygons(
    rings: list[np.ndarray], width: int, height: int, score: float, label: int
) -> list[dict[str, Any]]:
    """Label Studio's polygons in percent."""
    regions = []
    for ring in rings:
        kept = cv2.approxPolyDP(ring.astype(np.int32), TOLERANCE_PX, True)[:, 0]
        if len(kept) >= 3:
            points = (kept / [width, height] * 100).tolist()
            regions.append({"points": points, "closed": True, "score": score, "label": label})
    return regions


DECODE: dict[str, Decode] = {
    "notebook": notebook,
    "cvat": cvat,
    "yolo-example": yolo_example,
    "model-api": model_api,
    "supervision": supervision,
}

if __name__ == "__main__":
    main()
