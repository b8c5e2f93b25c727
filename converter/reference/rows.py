"""A source's outputs -> the contract's rows, read with numpy, family by family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from backend.runtime.contract import Label
from backend.runtime.engine import RawOutputs
from backend.runtime.errors import MeasurementError
from converter.contracts import Family
from converter.contracts.model_api import ModelApi
from converter.contracts.od_api import OdApi
from converter.contracts.torch_tuple import TorchTuple
from converter.contracts.yolo import Yolo
from converter.reference.reference import Array
from converter.reference.yolo_rows import yolo_rows

Outputs = Mapping[str, Array]
_Classes = npt.NDArray[np.int64]


def source_rows(
    family: Family, outputs: Outputs, labels: Sequence[Label], size_wh: tuple[int, int]
) -> RawOutputs:
    """Boxes in pixels of the model input, labels as index into `labels`, masks [N,h,w].

    `size_wh`: of the model input. Rows of a class that is not in the list are left out. Raises
    MeasurementError for a family that cannot be read here.
    """
    if isinstance(family, OdApi):
        return _od_api(outputs, labels, size_wh)
    if isinstance(family, ModelApi):
        return _model_api(outputs, labels)
    if isinstance(family, TorchTuple):
        return _torch_tuple(outputs, labels, family.first_class)
    if isinstance(family, Yolo):
        return yolo_rows(outputs, len(labels))
    raise MeasurementError(
        f"validate cannot read the outputs of the family {family.name} apart from the converter: "
        "measure the model on annotated images instead ('labelvino-model compare --annotations')."
    )


def _od_api(outputs: Outputs, labels: Sequence[Label], size_wh: tuple[int, int]) -> RawOutputs:
    count = int(np.asarray(outputs["num_detections"]).reshape(-1)[0])
    ymin, xmin, ymax, xmax = _f32(outputs["detection_boxes"])[0, :count].T
    width, height = size_wh
    scores = _f32(outputs["detection_scores"])[0, :count]
    boxes = np.stack([xmin * width, ymin * height, xmax * width, ymax * height, scores], axis=1)
    classes = np.rint(_f32(outputs["detection_classes"])[0, :count]).astype(np.int64)
    masks = outputs.get("detection_masks")
    found = None if masks is None else _f32(masks)[0, :count]
    return _known(boxes, _by_id(classes, labels), found)


def _model_api(outputs: Outputs, labels: Sequence[Label]) -> RawOutputs:
    boxes = _f32(_one_of(outputs, ("boxes", "dets", "bboxes")))
    classes = np.asarray(outputs["labels"]).astype(np.int64)
    masks = None if "masks" not in outputs else _f32(outputs["masks"])
    if boxes.ndim == 3:  # mmdetection's batch of 1
        boxes, classes = boxes[0], classes[0]
        masks = None if masks is None else masks[0]
    kept = (boxes[:, 4] > 0) & (classes >= 0)
    if len(labels) == 80 and classes.size and int(classes.max()) >= 80:
        raise MeasurementError(
            "the source numbers its classes beyond the model's 80 labels: compare IRs instead."
        )
    return RawOutputs(boxes[kept], classes[kept], None if masks is None else masks[kept])


def _torch_tuple(outputs: Outputs, labels: Sequence[Label], first_class: int) -> RawOutputs:
    scores = _f32(_one_of(outputs, ("scores",)))
    boxes = np.column_stack([_f32(_one_of(outputs, ("boxes", "pred_boxes"))), scores])
    classes = np.asarray(_one_of(outputs, ("labels", "classes", "pred_classes"))).astype(np.int64)
    masks = next((_f32(outputs[n]) for n in ("masks", "pred_masks") if n in outputs), None)
    if masks is not None and masks.ndim == 4:
        masks = masks[:, 0]
    dense = classes if first_class == 0 else _by_id(classes, labels)
    return _known(boxes, dense, masks)


def _by_id(classes: _Classes, labels: Sequence[Label]) -> _Classes:
    index = {label.id: i for i, label in enumerate(labels)}
    return np.array([index.get(number, -1) for number in classes.tolist()], np.int64)


def _known(boxes: Array, labels: _Classes, masks: npt.NDArray[np.float32] | None) -> RawOutputs:
    kept = labels >= 0
    return RawOutputs(
        _f32(boxes)[kept].reshape(-1, 5), labels[kept], None if masks is None else masks[kept]
    )


def _one_of(outputs: Outputs, names: Sequence[str]) -> Array:
    for name in names:
        if name in outputs:
            return outputs[name]
    raise MeasurementError(
        f"the source has none of the outputs {', '.join(names)}, but {', '.join(outputs)}."
    )


def _f32(value: Array) -> npt.NDArray[np.float32]:
    return np.asarray(value, np.float32)
