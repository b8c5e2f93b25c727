"""Models with the outputs of Open Model Zoo, OpenVINO Model API and Geti, and our own earlier IRs.

boxes [N,5] (x1, y1, x2, y2 in pixels of the model input, score), labels [N] (0-based), masks
[N,h,w] within the box; detectors have no masks. Other outputs (Geti's feature_vector) fall away.
Source: https://github.com/open-edge-platform/model_api, its MaskRCNN wrapper.
"""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.contract import ResizeRule
from backend.runtime.errors import ConversionError
from converter import graph
from converter.coco import COCO_LABELS
from converter.contracts.family import Adapted, AdaptOptions
from converter.contracts.preprocessing import embed_preprocessing, input_size
from converter.contracts.size import check_resize, size_choices

_RANK = {"boxes": 2, "labels": 1, "masks": 3}


class ModelApi:
    """Open Model Zoo and Model API: it takes a prepared image, so the preparation goes in."""

    name = "model-api"

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By the output names and their shapes."""
        names = graph.outputs_by_name(model)
        missing = [name for name in ("boxes", "labels") if name not in names]
        if missing:
            return False, f"there is no output {', '.join(missing)}"
        for name, rank in _RANK.items():
            shape = names[name].get_partial_shape() if name in names else None
            if shape is not None and (shape.rank.is_dynamic or len(shape) != rank):
                return False, f"the output {name} has the shape {shape}, not {rank} dimensions"
        boxes = names["boxes"].get_partial_shape()
        if not boxes[1].compatible(ov.Dimension(5)):
            return False, f"the output boxes has the shape {boxes}, not [N,5]"
        found = [f"{n} {names[n].get_partial_shape()}" for n in _RANK if n in names]
        return True, f"it has the outputs {', '.join(found)}"

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        fits, reason = self.recognise(model)
        if not fits:
            raise ConversionError(f"the model is not of the family {self.name}: {reason}.")
        height, width = input_size(model)
        if options.resize is None:
            raise ConversionError(
                "how an image becomes the model's input is not written in the model: say it with "
                f"{size_choices(height, width)}."
            )
        check_resize(options.resize, height, width)
        assumed = embed_preprocessing(model, options.preprocessing)

        found = {
            name: graph.tensor_of(output)
            for name, output in graph.outputs_by_name(model).items()
            if name in _RANK
        }
        boxes = graph.as_f32(found["boxes"])
        labels = graph.as_index(found["labels"])
        masks = graph.as_f32(found["masks"]) if "masks" in found else None
        numbers = _class_numbers(options)
        if numbers is not None:
            labels = graph.dense_labels(labels, numbers)
        if boxes.get_partial_shape()[0].is_static or numbers is not None:
            boxes, labels, masks = _without_padding(boxes, labels, masks)
        frame = None if masks is None else options.mask_frame or "box"
        if frame == "image":
            assumed = (*assumed, "masks are taken to cover the whole image, not their boxes.")
        adapted = graph.canonical(model, boxes, labels, masks)
        return Adapted(adapted, options.labels, options.resize, frame, assumed)


def _class_numbers(options: AdaptOptions) -> tuple[int, ...] | None:
    """The model's class number of each label, or None where label i has the number i.

    Raises ConversionError where the source names another number of classes than the list has.
    """
    labels, classes = options.labels, options.source_classes
    if classes is None or classes == len(labels):
        return None
    if labels == COCO_LABELS and classes in (90, 91):
        # 91: index and id are the same, 0 is nothing; 90: the ids' list without that entry
        return tuple(label.id - 1 + classes - 90 for label in labels)
    raise ConversionError(
        f"the list has {len(labels)} labels, but the model names {classes} classes: give a list "
        f"of {classes}."
    )


def _without_padding(
    boxes: ov.Output, labels: ov.Output, masks: ov.Output | None
) -> tuple[ov.Output, ov.Output, ov.Output | None]:
    """Cut rows that a fixed N fills up: those with score 0 or a label below 0."""
    scored = ops.greater(graph.column(boxes, 4), ops.constant(0.0, np.float32))
    labelled = ops.greater_equal(labels, ops.constant(0, graph.I64))
    kept = graph.true_rows(ops.logical_and(scored, labelled).output(0))
    return (
        graph.rows(boxes, kept),
        graph.rows(labels, kept),
        None if masks is None else graph.rows(masks, kept),
    )


def resize_from_model_info(
    model_info: dict[str, str], model: ov.Model
) -> tuple[ResizeRule | None, str]:
    """The rule that Model API's `resize_type` means for a fixed input, and why; None if unsaid.

    Raises ConversionError for types that the contract does not have.
    """
    kind = model_info.get("resize_type")
    height, width = input_size(model)
    if kind is None or height.is_dynamic or width.is_dynamic:
        return None, ""
    rules = {"standard": "stretch", "fit_to_window": "fit"}
    if kind not in rules:
        raise ConversionError(
            f"the model's resize_type '{kind}' is not supported: if the model can do with another "
            f"one, use {size_choices(height, width)}."
        )
    interpolation = model_info.get("interpolation_type", "LINEAR").lower()
    if interpolation not in ("linear", "cubic", "nearest"):
        raise ConversionError(f"the model's interpolation_type '{interpolation}' is not known.")
    rule = ResizeRule(
        "stretch" if rules[kind] == "stretch" else "fit",
        width=width.get_length(),
        height=height.get_length(),
        interpolation=interpolation,  # type: ignore[arg-type]
    )
    return rule, f"the model says resize_type {kind}: --resize {rule}"
