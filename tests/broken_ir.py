"""IRs with one mistake each, of the kinds that a converter makes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

Surgery = Callable[[ov.Model], None]


def save_broken(source: Path, target: Path, surgery: Surgery) -> Path:
    """The IR of `source` with all its facts, changed, as `target`."""
    model = ov.Core().read_model(source)
    surgery(model)
    model.validate_nodes_and_infer_types()
    ov.save_model(model, target, compress_to_fp16=False)
    return target


def swap_x_and_y(model: ov.Model) -> None:
    _replace(model, "boxes", lambda boxes: _pick(boxes, [1, 0, 3, 2, 4], 1))


def shift_labels_by_one(model: ov.Model) -> None:
    """The list's last label becomes its first, as with a background entry too many."""

    def shifted(labels: ov.Output) -> ov.Node:
        return ops.floor_mod(ops.add(labels, np.int64(1)), np.int64(8))

    _replace(model, "labels", shifted)


def swap_red_and_blue(model: ov.Model) -> None:
    _prepare(model, lambda image: _pick(image, [2, 1, 0], 3))


def subtract_a_wrong_mean(model: ov.Model) -> None:
    """ImageNet's, from an image that the graph normalises itself."""
    mean = np.float32([123.7, 116.3, 103.5])
    _prepare(model, lambda image: ops.subtract(ops.convert(image, "f32"), mean))


def shift_masks_by_half_a_cell(model: ov.Model) -> None:
    """To the right and below: the mean of each cell and the one before it."""

    def shifted(masks: ov.Output) -> ov.Node:
        found = masks.node
        for axis in (1, 2):
            first = ops.slice(found, [0], [1], [1], [axis])
            rest = ops.slice(found, [0], [-1], [1], [axis])
            before = ops.concat([first, rest], axis)
            found = ops.multiply(ops.add(found, before), np.float32(0.5))
        return found

    _replace(model, "masks", shifted)


def lose_the_best(model: ov.Model) -> None:
    """Every score above 0.9 falls to 0.3."""

    def lowered(boxes: ov.Output) -> ov.Node:
        corners = ops.slice(boxes, [0], [4], [1], [1])
        scores = ops.slice(boxes, [4], [5], [1], [1])
        low = ops.select(ops.greater(scores, np.float32(0.9)), np.float32(0.3), scores)
        return ops.concat([corners, low], 1)

    _replace(model, "boxes", lowered)


def _replace(model: ov.Model, name: str, make: Callable[[ov.Output], ov.Node]) -> None:
    result = model.output(name).node
    tensor = result.input_value(0)
    tensor.tensor.set_names(set())
    new = make(tensor).output(0)
    new.tensor.set_names({name})
    result.input(0).replace_source_output(new)


def _prepare(model: ov.Model, make: Callable[[ov.Output], ov.Node]) -> None:
    """What the graph sees in place of its u8 image."""
    image = model.input("image")
    readers = [reader for reader in image.get_target_inputs() if _sees_pixels(reader)]
    prepared = make(image)
    for reader in readers:
        reader.replace_source_output(prepared.output(0))


def _sees_pixels(reader: ov.Input) -> bool:
    return bool(reader.get_node().get_type_name() != "ShapeOf")


def _pick(tensor: ov.Output, indices: list[int], axis: int) -> ov.Node:
    return ops.gather(tensor, np.array(indices, np.int64), np.int64(axis))
