"""RF-DETR and RF-DETR-Seg: queries, not boxes that were chosen already.

dets f32 [1,Q,4] (centre x, centre y, width, height as fractions of the input), labels f32 [1,Q,C]
(logits; the class number is the category id, 0 is nothing), and, third and perhaps without a name,
mask logits f32 [1,Q,h,w] over the whole input. The 300 best pairs of query and class count.
Source: https://github.com/roboflow/rf-detr, rfdetr/models/lwdetr.py and rfdetr/deploy/export.py.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.contract import MaskFrame, ResizeRule
from backend.runtime.errors import ConversionError
from converter import graph
from converter.contracts.family import About, Adapted, AdaptOptions, Preprocessing
from converter.contracts.preprocessing import embed_preprocessing, input_size
from converter.contracts.selection import top_rows, xyxy_from_centres
from converter.contracts.size import check_resize, size_choices

_MOST = 300
_LEAST_SCORE = 0.01
# ImageNet's, in units of 0..255
_MEAN = (123.675, 116.28, 103.53)
_SCALE = (58.395, 57.12, 57.375)


@dataclass(frozen=True)
class _Outputs:
    boxes: ov.Output
    logits: ov.Output
    masks: ov.Output | None


class RfDetr:
    """RGB with ImageNet's mean and scale, stretched."""

    name = "rf-detr"
    about = About(
        gives="masks over the image, or boxes only; selected in the graph",
        classes="category ids",
        image="--resize stretch:WxH; RGB with ImageNet's mean and scale",
    )

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By the names of boxes and logits, and by all shapes."""
        found = _outputs(model)
        if isinstance(found, str):
            return False, found
        shown = graph.describe_ports(model.outputs)
        return True, f"its outputs are {shown}: boxes, logits{' and masks' if found.masks else ''}"

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        found = _outputs(model)
        if isinstance(found, str):
            raise ConversionError(f"the model is not of the family {self.name}: {found}.")
        if options.mask_frame == "box":
            raise ConversionError(
                "masks of the family rf-detr cover the whole input: leave out --mask-frame box."
            )
        resize, assumed = _resize(model, options)
        ids = [label.id for label in options.labels]
        _check_classes(found.logits, ids)
        preprocessing, said = _preprocessing(options.preprocessing)
        embed_preprocessing(model, preprocessing)

        boxes = _boxes_px(graph.without_batch(graph.as_f32(graph.tensor_of(found.boxes))), model)
        logits = graph.without_batch(graph.as_f32(graph.tensor_of(found.logits)))
        queries, labels, scores = _best_pairs(logits, ids)
        upright = ops.unsqueeze(scores, ops.constant(1, graph.I64))
        rows = ops.concat([graph.rows(boxes, queries), upright], 1).output(0)
        masks = None
        if found.masks is not None:
            logits = graph.without_batch(graph.as_f32(graph.tensor_of(found.masks)))
            masks = ops.sigmoid(graph.rows(logits, queries)).output(0)
        adapted = graph.canonical(model, rows, labels, masks)
        frame: MaskFrame | None = None if masks is None else "image"
        return Adapted(adapted, options.labels, resize, frame, (*assumed, *said))


def _outputs(model: ov.Model) -> _Outputs | str:
    """The outputs, or why they are others."""
    names = graph.outputs_by_name(model)
    boxes = names.get("dets", names.get("pred_boxes"))
    logits = names.get("labels", names.get("pred_logits"))
    if boxes is None or logits is None:
        return "there are no outputs dets and labels, nor pred_boxes and pred_logits"
    shapes = [port.get_partial_shape() for port in (boxes, logits)]
    if any(shape.rank.is_dynamic or len(shape) != 3 for shape in shapes):
        return f"boxes {shapes[0]} and logits {shapes[1]} are not [1,Q,4] and [1,Q,C]"
    if shapes[0][2] != ov.Dimension(4) or shapes[1][2].is_dynamic:
        return f"boxes {shapes[0]} and logits {shapes[1]} are not [1,Q,4] and [1,Q,C]"
    deep = [
        port
        for port in model.outputs
        if port.get_partial_shape().rank.is_static
        and len(port.get_partial_shape()) == 4
        and port.get_partial_shape()[1].compatible(shapes[0][1])
    ]
    if len(deep) > 1:
        return f"{len(deep)} outputs could be the masks: {graph.describe_ports(deep)}"
    return _Outputs(boxes, logits, deep[0] if deep else None)


def _resize(model: ov.Model, options: AdaptOptions) -> tuple[ResizeRule, tuple[str, ...]]:
    height, width = input_size(model)
    rule = options.resize
    assumed: tuple[str, ...] = ()
    if rule is None and height.is_static and width.is_static:
        rule = ResizeRule("stretch", width=width.get_length(), height=height.get_length())
        assumed = (f"images are stretched, as RF-DETR does: --resize {rule}",)
    if rule is None:
        raise ConversionError(
            "the model takes any size and does not say which it was trained for: say it with "
            f"{size_choices(height, width)}."
        )
    check_resize(rule, height, width)
    return rule, assumed


def _preprocessing(given: Preprocessing) -> tuple[Preprocessing, tuple[str, ...]]:
    if given.embedded:
        return given, ()
    order = given.color_order or "rgb"
    if given.mean_values or given.scale_values:
        return Preprocessing(order, given.mean_values, given.scale_values), ()
    said = "the model takes ImageNet's mean and scale, as RF-DETR does"
    return Preprocessing(order, _MEAN, _SCALE), (said,)


def _check_classes(logits: ov.Output, ids: list[int]) -> None:
    classes = logits.get_partial_shape()[2].get_length()
    if max(ids) >= classes:
        raise ConversionError(
            f"the list goes up to the id {max(ids)}, but the model's classes up to {classes - 1}: "
            "give a list of its classes, with the category ids of its training data."
        )


def _boxes_px(fractions: ov.Output, model: ov.Model) -> ov.Output:
    """Centres and sizes [Q,4] as fractions -> corners [Q,4] in pixels of the input [1,H,W,3]."""
    size = ops.convert(ops.shape_of(model.input(0), "i64"), "f32")
    sides = ops.gather(size, ops.constant([2, 1, 2, 1], graph.I64), ops.constant(0, graph.I64))
    return ops.multiply(xyxy_from_centres(fractions), sides).output(0)


def _best_pairs(logits: ov.Output, ids: list[int]) -> tuple[ov.Output, ov.Output, ov.Output]:
    """Queries i64 [N], labels i64 [N] and scores f32 [N] of the best pairs, best first.

    Only classes of the list take part.
    """
    count = len(ids)
    wanted = ops.gather(logits, ops.constant(ids, graph.I64), ops.constant(1, graph.I64))
    flat = ops.reshape(ops.sigmoid(wanted), ops.constant([-1], graph.I64), False).output(0)
    best = top_rows(flat, _MOST)
    kept = graph.true_rows(
        ops.greater(graph.rows(flat, best), ops.constant(_LEAST_SCORE, np.float32)).output(0)
    )
    pairs = graph.rows(best, kept)
    queries = ops.divide(pairs, ops.constant(count, graph.I64)).output(0)
    labels = ops.floor_mod(pairs, ops.constant(count, graph.I64)).output(0)
    return queries, labels, graph.rows(flat, pairs)
