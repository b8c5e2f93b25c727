"""Models of the TensorFlow Object Detection API, by the names of their outputs.

detection_boxes f32 [1,N,4] (ymin, xmin, ymax, xmax as a fraction of the image), detection_scores
[1,N], detection_classes [1,N] (category ids as f32, starting at 1), detection_masks [1,N,h,w]
(within the box; detectors have none), num_detections [1] (rows from there on are padding).
Source: https://github.com/tensorflow/models/blob/master/research/object_detection/exporter.py
"""

from __future__ import annotations

import openvino as ov
import openvino.opset13 as ops

from backend.runtime.contract import MaskFrame, ResizeRule
from backend.runtime.errors import ConversionError
from converter import graph
from converter.contracts.family import About, Adapted, AdaptOptions, Preprocessing
from converter.contracts.preprocessing import embed_preprocessing
from converter.contracts.size import check_resize

_BOXES, _SCORES, _CLASSES = "detection_boxes", "detection_scores", "detection_classes"
_MASKS, _COUNT = "detection_masks", "num_detections"
_NEEDED = (_BOXES, _SCORES, _CLASSES, _COUNT)
_RANK = {_BOXES: 3, _SCORES: 2, _CLASSES: 2, _MASKS: 4}


class OdApi:
    """TensorFlow Object Detection API: it resizes and normalises inside, so nothing is added."""

    name = "od-api"
    about = About(
        gives="masks in the box, or boxes only",
        classes="category ids of the label list",
        image="RGB as it is: the graph resizes and normalises",
    )

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By the output names alone."""
        names = graph.outputs_by_name(model)
        missing = [name for name in _NEEDED if name not in names]
        if missing:
            return False, f"there is no output {', '.join(missing)}"
        if "image_info" in names:
            return False, (
                "it has the output image_info, as tf-models-official's exports have, which "
                "labelvino-model cannot read yet: their boxes are pixels of the resized image"
            )
        masks = " and detection_masks" if _MASKS in names else ", without masks"
        return True, f"it has the outputs {', '.join(_NEEDED)}{masks}"

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        fits, reason = self.recognise(model)
        if not fits:
            raise ConversionError(f"the model is not of the family {self.name}: {reason}.")
        _refuse_preprocessing(model, options)
        resize, assumed = _prepare_input(model, options)
        found = {
            name: graph.tensor_of(output)
            for name, output in graph.outputs_by_name(model).items()
            if name in (*_NEEDED, _MASKS)
        }
        _check_ranks(found)

        values = graph.as_index(graph.without_batch(found[_CLASSES]))
        labels = graph.dense_labels(values, [label.id for label in options.labels])
        kept = _kept_rows(labels, found[_COUNT])
        boxes = _boxes_px(
            graph.rows(graph.without_batch(graph.as_f32(found[_BOXES])), kept),
            graph.rows(graph.without_batch(graph.as_f32(found[_SCORES])), kept),
            model.input(0),
        )
        masks = None
        if _MASKS in found:
            masks = graph.rows(graph.without_batch(graph.as_f32(found[_MASKS])), kept)
        adapted = graph.canonical(model, boxes, graph.rows(labels, kept), masks)
        frame: MaskFrame | None = None if masks is None else "box"
        return Adapted(adapted, options.labels, resize, frame, assumed)


def _refuse_preprocessing(model: ov.Model, options: AdaptOptions) -> None:
    given = options.preprocessing
    if options.mask_frame == "image":
        raise ConversionError(
            "masks of the family od-api fill their boxes: leave out --mask-frame image."
        )
    if _is_told(given) and not graph.single_input(model).get_element_type().is_real():
        raise ConversionError(
            "a model of the family od-api takes RGB and normalises inside: leave out "
            "--mean-values, --scale-values and --color-order."
        )


def _is_told(given: Preprocessing) -> bool:
    return bool(given.mean_values or given.scale_values or given.color_order == "bgr")


def _prepare_input(model: ov.Model, options: AdaptOptions) -> tuple[ResizeRule, tuple[str, ...]]:
    """Make the input u8 [1,H,W,3]; H and W stay as they are."""
    image = graph.single_input(model)
    shape = image.get_partial_shape()
    kind = image.get_element_type()
    if kind == ov.Type.string or shape.rank.is_dynamic or len(shape) != 4:
        raise ConversionError(
            f"the input is {graph.describe_ports([image])}, but must be an image [1,H,W,3]: "
            "export the model with the input type image_tensor."
        )
    if not shape[0].compatible(ov.Dimension(1)) or not shape[3].compatible(ov.Dimension(3)):
        raise ConversionError(f"the input must have the shape [1,H,W,3], but has {shape}.")
    fixed = ov.PartialShape([ov.Dimension(1), shape[1], shape[2], ov.Dimension(3)])
    image.node.set_partial_shape(fixed)
    model.validate_nodes_and_infer_types()
    said = _take_bytes(model, options.preprocessing) if kind != ov.Type.u8 else ()
    if options.resize is not None:
        check_resize(options.resize, fixed[1], fixed[2])
        return options.resize, said
    if fixed[1].is_dynamic or fixed[2].is_dynamic:
        return ResizeRule("none"), said
    height, width = fixed[1].get_length(), fixed[2].get_length()
    size = f"the input has the fixed size {width}x{height}: --resize stretch:{width}x{height}"
    return ResizeRule("stretch", width=width, height=height), (*said, size)


def _take_bytes(model: ov.Model, given: Preprocessing) -> tuple[str, ...]:
    """Let a graph that wants another number type take u8; a float one may be normalised outside."""
    kind = model.input(0).get_element_type()
    image = Preprocessing(given.color_order or "rgb", given.mean_values, given.scale_values)
    embed_preprocessing(model, image)
    if _is_told(given) or not kind.is_real():
        return ()
    return (
        f"the input is {kind.to_string()} and is taken to hold 0..255: say --mean-values and "
        "--scale-values if it does not",
    )


def _check_ranks(found: dict[str, ov.Output]) -> None:
    for name, rank in _RANK.items():
        if name not in found:
            continue
        shape = found[name].get_partial_shape()
        if shape.rank.is_dynamic or len(shape) == rank:
            continue
        raise ConversionError(f"the output {name} must have {rank} dimensions, but is {shape}.")


def _kept_rows(labels: ov.Output, count: ov.Output) -> ov.Output:
    """Rows that are no padding and whose class is in the label list, i64 [K]."""
    counted = ops.reshape(graph.as_index(count), ops.constant([1], graph.I64), False)
    n = ops.gather(
        ops.shape_of(labels, "i64"), ops.constant(0, graph.I64), ops.constant(0, graph.I64)
    )
    positions = ops.range(ops.constant(0, graph.I64), n, ops.constant(1, graph.I64), "i64")
    real = ops.less(positions, counted)
    known = ops.greater_equal(labels, ops.constant(0, graph.I64))
    return graph.true_rows(ops.logical_and(real, known).output(0))


def _boxes_px(fractions: ov.Output, scores: ov.Output, image: ov.Output) -> ov.Output:
    """Boxes [K,4] as fractions and scores [K] -> [K,5] x1, y1, x2, y2 in pixels, score.

    Height and width go separate ways: the CPU plugin fuses some arithmetic on whole shapes wrongly.
    """
    size = ops.shape_of(image, "i64")
    height, width = (
        ops.convert(
            ops.gather(size, ops.constant(axis, graph.I64), ops.constant(0, graph.I64)), "f32"
        )
        for axis in (1, 2)
    )
    ymin, xmin, ymax, xmax = (graph.column(fractions, i) for i in range(4))
    columns = [
        ops.multiply(xmin, width),
        ops.multiply(ymin, height),
        ops.multiply(xmax, width),
        ops.multiply(ymax, height),
        scores,
    ]
    upright = [ops.unsqueeze(c, ops.constant(1, graph.I64)) for c in columns]
    return ops.concat(upright, 1).output(0)
