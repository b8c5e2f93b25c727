"""Outputs of TensorFlow's Object Detection API that lost their names, found by what they hold.

Frozen graphs and TensorFlow Lite files call them Identity_3:0 or StatefulPartitionedCall:1, in any
order. Shapes leave several candidates (anchor indices look like classes), so that the values for
one picture decide, and nothing is taken where two fit.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.errors import ConversionError
from converter.graph import describe_ports

_NAMELESS = re.compile(
    r"(Identity|(Stateful)?PartitionedCall|TFLite_Detection_PostProcess)(_\d+)?(:\d+)?"
)
_NEAR_INTEGER = 0.05  # classes come as 1.988
_Values = npt.NDArray[Any]


def is_nameless(model: ov.Model) -> bool:
    """Whether no output has a name that says something; PyTorch's have none at all."""
    shortest = [min(p.get_names() or {""}, key=lambda n: (len(n), n)) for p in model.outputs]
    return any(shortest) and all(not n or _NAMELESS.fullmatch(n) for n in shortest)


def find_od_api(
    model: ov.Model, answers: Sequence[_Values], ids: Collection[int]
) -> dict[int, str]:
    """Output index -> the name it had, from what the outputs gave for one picture.

    `ids`: of the labels, if they are known; classes must be among them. Raises ConversionError
    where no output, or more than one, fits a role.
    """
    shapes = [value.shape for value in answers]
    count_at = _only(model, "num_detections", [i for i in _all(answers) if _is_count(answers[i])])
    count = int(np.asarray(answers[count_at]).ravel()[0])
    if count == 0:
        raise ConversionError(
            "the outputs have lost their names, and the model found nothing in the trial picture "
            f"that would tell them apart ({describe_ports(model.outputs)}): {REMEDY}."
        )
    boxes = [
        i
        for i, shape in enumerate(shapes)
        if len(shape) == 3 and shape[2] == 4 and _rows_like(shapes, shape[1], count)
        and _are_boxes(answers[i][0, :count])
    ]  # fmt: skip
    boxes_at = _only(model, "detection_boxes", boxes)
    rows = shapes[boxes_at][1]
    flat = [i for i, shape in enumerate(shapes) if shape == (1, rows)]
    scores_at = _only(
        model, "detection_scores", [i for i in flat if _are_scores(answers[i][0, :count])]
    )
    classes = [i for i in flat if i != scores_at and _are_classes(answers[i][0, :count], ids)]
    found = {
        count_at: "num_detections",
        boxes_at: "detection_boxes",
        scores_at: "detection_scores",
        _only(model, "detection_classes", classes): "detection_classes",
    }
    masks = [
        i
        for i, shape in enumerate(shapes)
        if len(shape) == 4 and shape[:2] == (1, rows) and _between(answers[i], 0.0, 1.0)
    ]
    if masks:
        found[_only(model, "detection_masks", masks)] = "detection_masks"
    return found


REMEDY = (
    "name them with --output, such as detection_boxes=Identity_1, or convert the SavedModel that "
    "the file was made from"
)


def _all(answers: Sequence[_Values]) -> range:
    return range(len(answers))


def _only(model: ov.Model, role: str, candidates: list[int]) -> int:
    if len(candidates) == 1:
        return candidates[0]
    shown = describe_ports([model.outputs[i] for i in candidates] or model.outputs)
    what = f"{len(candidates)} could be {role}" if candidates else f"none looks like {role}"
    raise ConversionError(f"the outputs have lost their names, and {what} ({shown}): {REMEDY}.")


def _is_count(value: _Values) -> bool:
    if value.shape not in ((1,), (1, 1), ()):
        return False
    number = float(np.asarray(value).ravel()[0])
    return number >= 0 and number == round(number)


def _rows_like(shapes: Sequence[tuple[int, ...]], rows: int, count: int) -> bool:
    """Scores and classes have as many rows; raw boxes have as many as there are anchors."""
    return rows >= count and sum(shape == (1, rows) for shape in shapes) >= 2


def _between(value: _Values, low: float, high: float) -> bool:
    return bool(np.isfinite(value).all() and value.min() >= low and value.max() <= high)


def _are_boxes(rows: _Values) -> bool:
    ordered = (rows[:, 2] >= rows[:, 0]).all() and (rows[:, 3] >= rows[:, 1]).all()
    return bool(ordered) and _between(rows, -0.5, 1.5)


def _are_scores(row: _Values) -> bool:
    return _between(row, 0.0, 1.0) and bool((np.diff(row) <= 1e-6).all() and row.max() < 1.0)


def _are_classes(row: _Values, ids: Collection[int]) -> bool:
    whole = np.round(row.astype(np.float64))
    near = bool((np.abs(whole - row) <= _NEAR_INTEGER).all())
    return near and whole.min() >= 1 and (not ids or set(whole.astype(int).tolist()) <= set(ids))
