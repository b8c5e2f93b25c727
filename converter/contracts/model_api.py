"""Models with the outputs of Open Model Zoo, Model API, Geti and mmdetection, and our earlier IRs.

boxes [N,5] (x1, y1, x2, y2 in pixels of the model input, score), labels [N] (0-based), masks
[N,h,w], within the box or over the input; detectors have no masks. mmdetection says dets for boxes,
OTX bboxes, and both put a batch of 1 in front. Other outputs (Geti's feature_vector) fall away.
Sources: https://github.com/open-edge-platform/model_api, its MaskRCNN wrapper;
https://github.com/open-mmlab/mmdeploy, configs/mmdet.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.contract import MaskFrame, ResizeRule
from backend.runtime.errors import ConversionError
from converter import graph
from converter.coco import COCO_LABELS
from converter.contracts.family import About, Adapted, AdaptOptions
from converter.contracts.mask_frames import frame_by_size
from converter.contracts.preprocessing import embed_preprocessing, input_size, is_nchw
from converter.contracts.size import check_resize, size_choices

_NAMES = {
    "boxes": ("boxes", "dets", "bboxes"),
    "labels": ("labels",),
    "masks": ("masks",),
}
_RANK = {"boxes": 2, "labels": 1, "masks": 3}


class ModelApi:
    """Open Model Zoo and Model API: it takes a prepared image, so the preparation goes in."""

    name = "model-api"
    about = About(
        gives="masks in the box or over the image, or boxes only",
        classes="index into the label list, from 0",
        image="--resize; BGR 0..255, unless the file or an option says otherwise",
    )

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By the output names and their shapes."""
        found = _roles(model)
        if isinstance(found, str):
            return False, found
        shown = ", ".join(_shown(model, output) for output in found.values())
        return True, f"it has the outputs {shown}"

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        found = _roles(model)
        if isinstance(found, str):
            raise ConversionError(f"the model is not of the family {self.name}: {found}.")
        height, width = input_size(model)
        if options.resize is None:
            raise ConversionError(
                "how an image becomes the model's input is not written in the model: say it with "
                f"{size_choices(height, width)}."
            )
        check_resize(options.resize, height, width)
        _check_normalisation(model, options)
        frame, said = _mask_frame(model, found.get("masks"), options)
        assumed = (*embed_preprocessing(model, options.preprocessing), *said)

        boxes = graph.as_f32(_flat(found["boxes"], "boxes"))
        labels = graph.as_index(_flat(found["labels"], "labels"))
        masks = graph.as_f32(_flat(found["masks"], "masks")) if "masks" in found else None
        numbers = _class_numbers(options)
        if numbers is not None:
            labels = graph.dense_labels(labels, numbers)
        if boxes.get_partial_shape()[0].is_static or numbers is not None or _padded(found):
            boxes, labels, masks = _without_padding(boxes, labels, masks)
        adapted = graph.canonical(model, boxes, labels, masks)
        return Adapted(adapted, options.labels, options.resize, frame, assumed)


def _roles(model: ov.Model) -> dict[str, ov.Output] | str:
    """The outputs by role, or why they are none."""
    names = graph.outputs_by_name(model)
    found: dict[str, ov.Output] = {}
    for role, known in _NAMES.items():
        there = [name for name in known if name in names]
        if len({names[name].node.get_friendly_name() for name in there}) > 1:
            return f"the outputs {' and '.join(there)} could both be the {role}"
        if there:
            found[role] = names[there[0]]
    missing = [role for role in ("boxes", "labels") if role not in found]
    if missing:
        return f"there is no output {', '.join(missing)}"
    batches = set()
    for role, output in found.items():
        shape, rank = output.get_partial_shape(), _RANK[role]
        if shape.rank.is_dynamic or len(shape) not in (rank, rank + 1):
            return f"the output {role} has the shape {shape}, not {rank} dimensions"
        if len(shape) == rank + 1 and not shape[0].compatible(ov.Dimension(1)):
            return f"the output {role} has the shape {shape}, with a batch other than 1"
        batches.add(len(shape) - rank)
    boxes = found["boxes"].get_partial_shape()
    if not boxes[len(boxes) - 1].compatible(ov.Dimension(5)):
        return f"the output boxes has the shape {boxes}, not [N,5]"
    if len(batches) > 1:
        return "only some of its outputs have a batch in front"
    return found


def _shown(model: ov.Model, output: ov.Output) -> str:
    node = output.node.get_friendly_name()
    names = graph.outputs_by_name(model)
    name = next(name for name, port in names.items() if port.node.get_friendly_name() == node)
    return f"{name} {output.get_partial_shape()}"


def _flat(output: ov.Output, role: str) -> ov.Output:
    """The tensor without a batch of 1."""
    tensor = graph.tensor_of(output)
    batched = len(tensor.get_partial_shape()) > _RANK[role]
    return graph.without_batch(tensor) if batched else tensor


def _padded(found: dict[str, ov.Output]) -> bool:
    """mmdetection fills rows up even where their number is open."""
    return len(found["boxes"].get_partial_shape()) > _RANK["boxes"]


def _check_normalisation(model: ov.Model, options: AdaptOptions) -> None:
    """mmdetection's exports take a normalised image and do not say which way."""
    given = options.preprocessing
    told = given.mean_values or given.scale_values or given.embedded
    if told or "dets" not in graph.outputs_by_name(model):
        return
    raise ConversionError(
        "mmdetection's exports take an image that is normalised outside, and do not say how: take "
        "--color-order, --mean-values and --scale-values from the data_preprocessor of the model's "
        "configuration (often rgb, 123.675,116.28,103.53 and 58.395,57.12,57.375), or say "
        "--mean-values 0 for none."
    )


def _mask_frame(
    model: ov.Model, masks: ov.Output | None, options: AdaptOptions
) -> tuple[MaskFrame | None, tuple[str, ...]]:
    if masks is None:
        return None, ()
    if options.mask_frame is not None:
        said = "masks are taken to cover the whole image, not their boxes."
        return options.mask_frame, (said,) if options.mask_frame == "image" else ()
    frame = frame_by_size(model, masks, nchw=is_nchw(model))
    shape = masks.get_partial_shape()
    if frame is None:
        raise ConversionError(
            f"nothing tells whether the masks {shape} fill their boxes or cover the image: say "
            "--mask-frame box or --mask-frame image."
        )
    said = f"the masks {shape} are as large as the input: --mask-frame image"
    return frame, (said,) if frame == "image" else ()


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
    if kind is None:
        return None, ""
    height, width = input_size(model)
    if height.is_dynamic or width.is_dynamic:
        return None, ""
    rules = {"standard": "stretch", "fit_to_window": "fit", "fit_to_window_letterbox": "letterbox"}
    if kind not in rules:
        raise ConversionError(
            f"the model's resize_type '{kind}' is not supported: if the model can do with another "
            f"one, use {size_choices(height, width)}."
        )
    interpolation = model_info.get("interpolation_type", "LINEAR").lower()
    if interpolation not in ("linear", "cubic", "nearest"):
        raise ConversionError(f"the model's interpolation_type '{interpolation}' is not known.")
    size = f"{width.get_length()}x{height.get_length()}"
    grey = model_info.get("pad_value", "0" if rules[kind] == "fit" else "")
    if not grey.isdecimal() and grey:
        raise ConversionError(f"the model's pad_value '{grey}' is no grey of 0..255.")
    padding = f":{grey}" if grey and kind != "standard" else ""
    rule = replace(
        ResizeRule.parse(f"{rules[kind]}:{size}{padding}"),
        interpolation=interpolation,  # type: ignore[arg-type]
    )
    return rule, f"the model says resize_type {kind}: --resize {rule}"
