"""Open Model Zoo's models with a second input that tells the image's size.

im-info    instance-segmentation-security-0010 to 0083: im_data [1,3,H,W] and im_info [1,3] (height,
           width, scale); boxes [N,4] (x1, y1, x2, y2 in pixels of the input), classes [N] (0 is the
           background), scores [N], raw_masks [N,C,h,w], one mask a class, background included
image-info the public Mask R-CNNs of TensorFlow: image_tensor [1,3,H,W] and image_info [1,3];
           reshape_do_2d [N,7] (image, class from 1, score, x1, y1, x2, y2 as fractions),
           masks [N,C,h,w], one mask a class, from class 1

Both take BGR from 0 to 255. The second input becomes the input's own size and a scale of 1.
Sources: https://github.com/openvinotoolkit/open_model_zoo, models/intel and models/public.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from backend.runtime.errors import ConversionError
from converter import graph
from converter.contracts.family import About, Adapted, AdaptOptions
from converter.contracts.preprocessing import embed_preprocessing, input_size
from converter.contracts.size import check_resize, size_choices

_LEAST_SCORE = 0.0
# boxes f32 [N,4] in pixels, scores f32 [N], class numbers i64 [N]
_Rows = tuple[ov.Output, ov.Output, ov.Output]


@dataclass(eq=False)
class OmzLegacy:
    """`ranks`: its outputs; `first_mask`: the class whose mask is the first one."""

    name: str
    image: str
    info: str
    ranks: dict[str, int]
    masks: str
    first_mask: int
    read: Callable[[dict[str, ov.Output], ov.Output], _Rows]
    about = About(
        gives="masks in the box",
        classes="category ids, or the place in the label list where classes are contiguous",
        image="--resize; BGR 0..255",
    )

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By the names of inputs and outputs."""
        inputs, outputs = graph.inputs_by_name(model), graph.outputs_by_name(model)
        missing = [name for name in (self.image, self.info) if name not in inputs]
        if missing:
            return False, f"there is no input {', '.join(missing)}"
        missing = [name for name in self.ranks if name not in outputs]
        if missing:
            return False, f"there is no output {', '.join(missing)}"
        for name, rank in self.ranks.items():
            shape = outputs[name].get_partial_shape()
            if shape.rank.is_dynamic or len(shape) != rank:
                return False, f"the output {name} has the shape {shape}, not {rank} dimensions"
        return True, (
            f"it has the inputs {self.image} and {self.info}, and the outputs "
            f"{', '.join(self.ranks)}"
        )

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        fits, reason = self.recognise(model)
        if not fits:
            raise ConversionError(f"the model is not of the family {self.name}: {reason}.")
        if options.mask_frame == "image":
            raise ConversionError(
                f"masks of the family {self.name} fill their boxes: leave out --mask-frame image."
            )
        outputs = graph.outputs_by_name(model)
        found = {name: graph.tensor_of(outputs[name]) for name in self.ranks}
        _answer_size(model, self.image, self.info)
        height, width = input_size(model)
        if options.resize is None:
            raise ConversionError(
                "how an image becomes the model's input is not written in the model: say it with "
                f"{size_choices(height, width)}; Open Model Zoo fits and pads."
            )
        check_resize(options.resize, height, width)
        assumed = embed_preprocessing(model, options.preprocessing)

        boxes, scores, classes = self.read(found, model.input(0))
        planes = graph.as_f32(found[self.masks])
        _check_planes(planes, options, self.first_mask)
        labels = graph.dense_labels(classes, _numbers(options, self.first_mask))
        scored = ops.greater(scores, ops.constant(_LEAST_SCORE, np.float32))
        known = ops.greater_equal(labels, ops.constant(0, graph.I64))
        kept = graph.true_rows(ops.logical_and(scored, known).output(0))
        masks = _masks_of(planes, kept, graph.rows(classes, kept), self.first_mask)
        upright = ops.unsqueeze(scores, ops.constant(1, graph.I64))
        rows = graph.rows(ops.concat([boxes, upright], 1).output(0), kept)
        adapted = graph.canonical(model, rows, graph.rows(labels, kept), masks)
        return Adapted(adapted, options.labels, options.resize, "box", assumed)


def _answer_size(model: ov.Model, image: str, info: str) -> None:
    """The input that tells the size becomes what the graph itself knows: height, width, 1."""
    inputs = graph.inputs_by_name(model)
    told = inputs[info]
    shape = told.get_partial_shape()
    columns = shape[len(shape) - 1] if shape.rank.is_static and len(shape) == 2 else None
    if columns is None or columns.is_dynamic or columns.get_length() not in (2, 3):
        raise ConversionError(f"the input {info} must have the shape [1,3], but has {shape}.")
    size = ops.shape_of(inputs[image], "i64")
    picked = ops.gather(size, ops.constant([2, 3], graph.I64), ops.constant(0, graph.I64))
    parts: list[ov.Node] = [ops.convert(picked, "f32")]
    if columns.get_length() == 3:
        parts.append(ops.constant([1.0], np.float32))
    row = ops.unsqueeze(ops.concat(parts, 0), ops.constant(0, graph.I64))
    answer = ops.convert(row, told.get_element_type().to_string())
    for reader in list(told.get_target_inputs()):
        reader.replace_source_output(answer.output(0))
    model.remove_parameter(told.node)
    model.validate_nodes_and_infer_types()


def _check_planes(planes: ov.Output, options: AdaptOptions, first_mask: int) -> None:
    count = planes.get_partial_shape()[1]
    if count.is_dynamic:
        raise ConversionError(
            f"the masks have the shape {planes.get_partial_shape()}, which does not tell how many "
            "classes there are: download the model again."
        )
    highest = max(_numbers(options, first_mask))
    if highest - first_mask >= count.get_length():
        raise ConversionError(
            f"the list goes up to the class {highest}, but the model's masks up to "
            f"{count.get_length() - 1 + first_mask}: give a list of its classes."
        )


def _numbers(options: AdaptOptions, first_mask: int) -> Sequence[int]:
    """The model's class number of each label: its id, or its place where classes are contiguous."""
    if first_mask == 1:
        return [label.id for label in options.labels]
    return range(1, len(options.labels) + 1)


def _masks_of(planes: ov.Output, kept: ov.Output, classes: ov.Output, first_mask: int) -> ov.Output:
    """[N,C,h,w] -> the mask of each kept row's own class, [K,h,w].

    Rows and classes are counted through as one, since a Gather with batch_dims can crash the CPU
    plugin.
    """
    count = planes.get_partial_shape()[1].get_length()
    height, width = (planes.get_partial_shape()[axis] for axis in (2, 3))
    if height.is_dynamic or width.is_dynamic:
        raise ConversionError(
            f"the masks have the shape {planes.get_partial_shape()}: download the model again."
        )
    shape = ops.constant([-1, height.get_length(), width.get_length()], graph.I64)
    flat = ops.reshape(planes, shape, False).output(0)
    own = ops.add(
        ops.multiply(kept, ops.constant(count, graph.I64)),
        ops.subtract(classes, ops.constant(first_mask, graph.I64)),
    )
    return graph.rows(flat, own.output(0))


def _read_im_info(found: dict[str, ov.Output], _image: ov.Output) -> _Rows:
    return (
        graph.as_f32(found["boxes"]),
        graph.as_f32(found["scores"]),
        graph.as_index(found["classes"]),
    )


def _read_image_info(found: dict[str, ov.Output], image: ov.Output) -> _Rows:
    """A row of another image than the first (-1) is padding: its score becomes 0."""
    table = graph.as_f32(found["reshape_do_2d"])
    size = ops.convert(ops.shape_of(image, "i64"), "f32")
    height, width = (
        ops.gather(size, ops.constant(axis, graph.I64), ops.constant(0, graph.I64))
        for axis in (1, 2)
    )
    sides = [
        ops.multiply(graph.column(table, 3 + i), width if i % 2 == 0 else height) for i in range(4)
    ]
    upright = [ops.unsqueeze(side, ops.constant(1, graph.I64)) for side in sides]
    first = ops.greater_equal(graph.column(table, 0), ops.constant(0.0, np.float32))
    scores = ops.select(first, graph.column(table, 2), ops.constant(0.0, np.float32))
    return (
        ops.concat(upright, 1).output(0),
        scores.output(0),
        graph.as_index(graph.column(table, 1)),
    )


OMZ_IM_INFO = OmzLegacy(
    name="omz-im-info",
    image="im_data",
    info="im_info",
    ranks={"boxes": 2, "classes": 1, "scores": 1, "raw_masks": 4},
    masks="raw_masks",
    first_mask=0,
    read=_read_im_info,
)
OMZ_IMAGE_INFO = OmzLegacy(
    name="omz-image-info",
    image="image_tensor",
    info="image_info",
    ranks={"reshape_do_2d": 2, "masks": 4},
    masks="masks",
    first_mask=1,
    read=_read_image_info,
)
