"""YOLO exports of Ultralytics (v8, 11, 26 and their like), with or without masks.

output0 is one of
  [1, 4 + classes + nm, A]  of A anchors: centre x, y, width, height in pixels of the input, the
                            classes' probabilities, nm mask coefficients
  [1, K, 6 + nm]            selected already (end-to-end heads, and exports with nms=True): x1, y1,
                            x2, y2 in pixels, score, class, coefficients; rows of zeros fill up
output1 f32 [1, nm, h, w]: prototypes over the input; a mask is sigmoid(coefficients @ prototypes).
Source: https://github.com/ultralytics/ultralytics, nn/modules/head.py and engine/exporter.py.
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
from converter.contracts.selection import select_anchors, xyxy_from_centres
from converter.contracts.size import check_resize, size_choices

_MOST = 300  # rows, as Ultralytics keeps
_LEAST_SCORE = 0.01
_IOU = 0.7  # Ultralytics' own threshold when it predicts


@dataclass(frozen=True)
class _Layout:
    """Which output is which. `coefficients`: 0 without masks."""

    predictions: ov.Output
    prototypes: ov.Output | None
    coefficients: int
    selected: bool


class Yolo:
    """Ultralytics' YOLO: RGB from 0 to 1, letterboxed."""

    name = "yolo"
    about = About(
        gives="masks over the image, or boxes only; selected in the graph",
        classes="index into the label list, from 0",
        image="--resize letterbox:WxH; RGB 0..1",
    )

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By the shapes of its one or two outputs, and a detector by its output's name too."""
        found = _layout(model)
        if isinstance(found, str):
            return False, found
        shown = graph.describe_ports(model.outputs)
        form = "selected already" if found.selected else "one column an anchor"
        return True, f"its outputs are {shown}, {form}"

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        layout = _layout(model)
        if isinstance(layout, str):
            raise ConversionError(f"the model is not of the family {self.name}: {layout}.")
        if options.mask_frame == "box":
            raise ConversionError(
                "masks of the family yolo cover the whole input: leave out --mask-frame box."
            )
        resize, assumed = _resize(model, options)
        _check_classes(layout, options)
        embed_preprocessing(model, _preprocessing(options.preprocessing))
        predictions = graph.as_f32(graph.tensor_of(layout.predictions))
        predictions = graph.without_batch(predictions)
        choose = _take_selected if layout.selected else _select
        boxes, labels, coefficients = choose(predictions, layout, len(options.labels))
        masks = None
        if layout.prototypes is not None:
            prototypes = graph.as_f32(graph.tensor_of(layout.prototypes))
            masks = _masks(coefficients, graph.without_batch(prototypes))
        adapted = graph.canonical(model, boxes, labels, masks)
        frame: MaskFrame | None = None if masks is None else "image"
        return Adapted(adapted, options.labels, resize, frame, assumed)


def _layout(model: ov.Model) -> _Layout | str:
    """The layout, or why there is none."""
    by_rank: dict[int, list[ov.Output]] = {}
    for output in model.outputs:
        shape = output.get_partial_shape()
        by_rank.setdefault(-1 if shape.rank.is_dynamic else len(shape), []).append(output)
    flat, deep = by_rank.pop(3, []), by_rank.pop(4, [])
    if by_rank or len(flat) != 1 or len(deep) > 1:
        return "it does not have the two outputs [1,..,..] and [1,nm,h,w]"
    predictions = flat[0]
    shape = predictions.get_partial_shape()
    coefficients = 0
    if deep:
        channels = deep[0].get_partial_shape()[1]
        if channels.is_dynamic:
            return f"the number of prototypes is open: {deep[0].get_partial_shape()}"
        coefficients = channels.get_length()
    elif not _is_named(model, predictions):
        return "it does not have prototypes [1,nm,h,w], nor an output0"
    prototypes = deep[0] if deep else None
    if shape[2].is_static and shape[2].get_length() == 6 + coefficients:
        return _Layout(predictions, prototypes, coefficients, selected=True)
    if shape[1].is_static and shape[1].get_length() >= 5 + coefficients:
        return _Layout(predictions, prototypes, coefficients, selected=False)
    return (
        f"the output {shape} has neither 4 + classes + {coefficients} rows nor "
        f"{6 + coefficients} columns"
    )


def _is_named(model: ov.Model, output: ov.Output) -> bool:
    kind = ["model_info", "model_type"]
    if model.has_rt_info(kind) and str(model.get_rt_info(kind).astype(str)).startswith("YOLO"):
        return True
    return "output0" in output.get_names()


def _resize(model: ov.Model, options: AdaptOptions) -> tuple[ResizeRule, tuple[str, ...]]:
    height, width = input_size(model)
    assumed: tuple[str, ...] = ()
    rule = options.resize
    if rule is None and height.is_static and width.is_static:
        size = f"{width.get_length()}x{height.get_length()}"
        rule = ResizeRule.parse(f"letterbox:{size}")
        assumed = (f"images are letterboxed, as Ultralytics does: --resize {rule}",)
    if rule is None:
        raise ConversionError(
            "the model takes any size and does not say which it was trained for: say it with "
            "--resize letterbox:WIDTHxHEIGHT, such as letterbox:640x640."
        )
    check_resize(rule, height, width)
    if rule.kind in ("none", "shortest-edge"):
        raise ConversionError(
            f"YOLO models take sizes that 32 divides only, which --resize {rule} does not give: "
            f"use {size_choices(height, width)}."
        )
    return rule, assumed


def _preprocessing(given: Preprocessing) -> Preprocessing:
    if given.embedded:
        return given
    scale = given.scale_values or (() if given.mean_values else (255.0,))
    return Preprocessing(given.color_order or "rgb", given.mean_values, scale)


def _check_classes(layout: _Layout, options: AdaptOptions) -> None:
    if layout.selected:
        return
    rows = layout.predictions.get_partial_shape()[1].get_length()
    classes = rows - 4 - layout.coefficients
    if classes != len(options.labels):
        raise ConversionError(
            f"the list has {len(options.labels)} labels, but the model has {classes} classes: "
            f"give a list of {classes}."
        )


def _select(
    predictions: ov.Output, layout: _Layout, classes: int
) -> tuple[ov.Output, ov.Output, ov.Output]:
    """[4 + classes + nm, A] -> boxes [N,5], labels [N], coefficients [N,nm]."""
    parts = ops.variadic_split(
        predictions,
        ops.constant(0, graph.I64),
        ops.constant([4, classes, layout.coefficients], graph.I64),
    )
    corners = xyxy_from_centres(graph.transposed(parts.output(0)))
    boxes, labels, chosen = select_anchors(corners, parts.output(1), _LEAST_SCORE, _IOU, _MOST)
    coefficients = graph.rows(graph.transposed(parts.output(2)), chosen)
    return boxes, labels, coefficients


def _take_selected(
    predictions: ov.Output, layout: _Layout, classes: int
) -> tuple[ov.Output, ov.Output, ov.Output]:
    """[K, 6 + nm] -> boxes [N,5], labels [N], coefficients [N,nm], without rows that fill up."""
    parts = ops.variadic_split(
        predictions,
        ops.constant(1, graph.I64),
        ops.constant([5, 1, layout.coefficients], graph.I64),
    )
    labels = graph.as_index(ops.squeeze(parts.output(1), ops.constant(1, graph.I64)).output(0))
    scored = ops.greater(graph.column(parts.output(0), 4), ops.constant(_LEAST_SCORE, np.float32))
    known = ops.logical_and(
        ops.greater_equal(labels, ops.constant(0, graph.I64)),
        ops.less(labels, ops.constant(classes, graph.I64)),
    )
    kept = graph.true_rows(ops.logical_and(scored, known).output(0))
    return (
        graph.rows(parts.output(0), kept),
        graph.rows(labels, kept),
        graph.rows(parts.output(2), kept),
    )


def _masks(coefficients: ov.Output, prototypes: ov.Output) -> ov.Output:
    """[N,nm] and [nm,h,w] -> probabilities [N,h,w]."""
    size = ops.shape_of(prototypes, "i64")
    flat = ops.reshape(prototypes, ops.constant([0, -1], graph.I64), True)
    planes = ops.sigmoid(ops.matmul(coefficients, flat, False, False))
    # N = 0 leaves -1 undecided, so that N itself is written there.
    rows = ops.gather(
        ops.shape_of(coefficients, "i64"), ops.constant([0], graph.I64), ops.constant(0, graph.I64)
    )
    shape = ops.concat(
        [rows, ops.gather(size, ops.constant([1, 2], graph.I64), ops.constant(0, graph.I64))], 0
    )
    return ops.reshape(planes, shape, False).output(0)
