"""What a YOLO source's outputs say, as Ultralytics reads them: best class, suppression, masks.

Layouts as in converter/contracts/yolo.py.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from backend.runtime.engine import RawOutputs
from backend.runtime.errors import MeasurementError
from backend.runtime.overlap import box_ious
from converter.reference.reference import Array

_LEAST_SCORE, _IOU, _MOST = 0.01, 0.7, 300
F32 = npt.NDArray[np.float32]


def yolo_rows(outputs: Mapping[str, Array], classes: int) -> RawOutputs:
    """Boxes in pixels of the input, best first. Raises MeasurementError for other layouts."""
    arrays = {id(value): np.asarray(value, np.float32) for value in outputs.values()}
    flat = [value for value in arrays.values() if value.ndim == 3]
    deep = [value for value in arrays.values() if value.ndim == 4]
    if len(flat) != 1 or len(deep) > 1:
        shapes = ", ".join(str(list(value.shape)) for value in arrays.values())
        raise MeasurementError(f"the source's outputs {shapes} are not those of a YOLO.")
    prototypes = deep[0][0] if deep else None
    nm = 0 if prototypes is None else len(prototypes)
    predictions = flat[0][0]
    if predictions.shape[1] == 6 + nm:
        boxes, labels, coefficients = _selected(predictions)
    else:
        boxes, labels, coefficients = _anchors(predictions, classes)
    known = labels < classes
    boxes, labels, coefficients = boxes[known], labels[known], coefficients[known]
    masks = None
    if prototypes is not None:
        planes = coefficients @ prototypes.reshape(nm, -1)
        masks = (1 / (1 + np.exp(-planes))).astype(np.float32)
        masks = masks.reshape(-1, *prototypes.shape[1:])
    return RawOutputs(boxes, labels, masks)


def _selected(rows: F32) -> tuple[F32, npt.NDArray[np.int64], F32]:
    kept = rows[rows[:, 4] > _LEAST_SCORE]
    return kept[:, :5], np.rint(kept[:, 5]).astype(np.int64), kept[:, 6:]


def _anchors(columns: F32, classes: int) -> tuple[F32, npt.NDArray[np.int64], F32]:
    """[4 + classes + nm, A]: an anchor counts for its best class."""
    rows = columns.T
    scores = rows[:, 4 : 4 + classes]
    best, labels = scores.max(axis=1), scores.argmax(axis=1)
    order = np.argsort(-best, kind="stable")
    order = order[best[order] > _LEAST_SCORE]
    centre, half = rows[order, :2], rows[order, 2:4] / 2
    corners = np.concatenate([centre - half, centre + half], axis=1)
    kept = _suppressed(corners, labels[order])
    chosen = order[kept][:_MOST]
    boxes = np.column_stack([corners[kept][:_MOST], best[chosen]])
    return boxes.astype(np.float32), labels[chosen].astype(np.int64), rows[chosen, 4 + classes :]


def _suppressed(corners: F32, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rows that no better one of the same class covers; `corners` best first."""
    kept: list[int] = []
    for row in range(len(corners)):
        rivals = [i for i in kept if labels[i] == labels[row]]
        covered = rivals and box_ious(corners[[row]], corners[rivals]).max() > _IOU
        if not covered:
            kept.append(row)
    return np.array(kept, np.int64)
