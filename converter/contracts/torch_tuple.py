"""PyTorch detectors that give a tuple of tensors: Detectron2's and torchvision's.

boxes f32 [N,4] (x1, y1, x2, y2 in pixels of the input), classes i64 [N], scores f32 [N], masks
f32 [N,1,h,w] (mask models only). The two number their classes differently:

detectron2   fields in alphabetical order (pred_boxes, pred_classes, pred_masks, scores), then the
             image size i64 [2]; classes count from 0. Source: detectron2/export/flatten.py
torchvision  boxes, labels, scores, masks; labels are the category ids of the training data, 0 is
             the background. Source: torchvision/models/detection/roi_heads.py

Names decide; where there are none, types and shapes do.
"""

from __future__ import annotations

from dataclasses import dataclass

import openvino as ov
import openvino.opset13 as ops

from backend.runtime.contract import MaskFrame
from backend.runtime.errors import ConversionError
from converter import graph
from converter.contracts.family import About, Adapted, AdaptOptions, ColorOrder, Preprocessing
from converter.contracts.preprocessing import embed_preprocessing, input_size
from converter.contracts.size import check_resize, size_choices

_NAMES = {
    "boxes": ("boxes", "pred_boxes"),
    "labels": ("labels", "classes", "pred_classes"),
    "scores": ("scores",),
    "masks": ("masks", "pred_masks"),
    "size": ("size", "image_size"),
}
_NEEDED = ("boxes", "labels", "scores")
# Two inputs that no model has as the side of its masks.
_TRIAL_SIZES_HW = ((416, 608), (352, 544))


@dataclass(eq=False)
class TorchTuple:
    """`first_class`: the class number of the first class; what the graph takes is 0..`highest`."""

    name: str
    first_class: int
    color_order: ColorOrder
    highest: float

    @property
    def about(self) -> About:
        """See Family.about."""
        from_0 = "index into the label list, from 0"
        return About(
            gives="masks in the box, or boxes only",
            classes=from_0 if self.first_class == 0 else "category ids of the label list",
            image=f"--resize shortest-edge:SHORT:LONG; {self.color_order.upper()} "
            f"0..{self.highest:g}",
        )

    def recognise(self, model: ov.Model) -> tuple[bool, str]:
        """By names, else by types and shapes; only Detectron2 shows the image's size."""
        try:
            found, how = _roles(model)
        except ConversionError as error:
            return False, str(error).rstrip(".")
        shown = ", ".join(f"{role} {found[role].get_partial_shape()}" for role in found)
        if "size" in found or _has_name(model, "pred_classes"):
            return self.name == "detectron2", f"{how} ({shown}), as Detectron2's TracingAdapter"
        if how == "named" and _has_name(model, "labels"):
            return self.name == "torchvision", f"{how} ({shown}), as torchvision"
        return False, (
            f"the outputs could be its own ({shown}), but nothing tells whether classes count from "
            "0 (--family detectron2) or from 1 (--family torchvision)"
        )

    def adapt(self, model: ov.Model, options: AdaptOptions) -> Adapted:
        """See Family.adapt."""
        found, _ = _roles(model)
        _add_batch(model)
        height, width = input_size(model)
        if options.resize is None:
            raise ConversionError(
                "how an image becomes the model's input is not written in the model: say it with "
                f"{size_choices(height, width)}."
            )
        check_resize(options.resize, height, width)
        frame = options.mask_frame
        if "masks" in found and frame is None:
            frame = _mask_frame(model, found["masks"])
        preprocessing, assumed = self._preprocessing(options.preprocessing)
        embed_preprocessing(model, preprocessing)

        labels = graph.as_index(graph.tensor_of(found["labels"]))
        labels, known = self._labels(labels, options)
        scores = ops.unsqueeze(
            graph.as_f32(graph.tensor_of(found["scores"])), ops.constant(1, graph.I64)
        )
        boxes = ops.concat([graph.as_f32(graph.tensor_of(found["boxes"])), scores], 1).output(0)
        masks = _flat(graph.tensor_of(found["masks"])) if "masks" in found else None
        if known is not None:
            boxes, labels = graph.rows(boxes, known), graph.rows(labels, known)
            masks = None if masks is None else graph.rows(masks, known)
        adapted = graph.canonical(model, boxes, labels, masks)
        frame = frame if masks is not None else None
        return Adapted(adapted, options.labels, options.resize, frame, assumed)

    def _preprocessing(self, given: Preprocessing) -> tuple[Preprocessing, tuple[str, ...]]:
        """What was given, else what models of this family take; said in the second."""
        order, scale = given.color_order, given.scale_values
        assumed = []
        if order is None:
            order = self.color_order
            assumed.append(f"the model takes {order.upper()}, as {self.name}'s: --color-order")
        if not scale and not given.mean_values:
            scale = () if self.highest == 255 else (255 / self.highest,)
            assumed.append(f"the model takes 0..{self.highest:g}, as {self.name}'s: --scale-values")
        return Preprocessing(order, given.mean_values, scale), tuple(assumed)

    def _labels(
        self, classes: ov.Output, options: AdaptOptions
    ) -> tuple[ov.Output, ov.Output | None]:
        """Class numbers i64 [N] -> dense index, and the rows whose class is in the list."""
        count = options.source_classes
        if self.first_class == 0:
            if count is not None and count != len(options.labels):
                raise ConversionError(
                    f"the list has {len(options.labels)} labels, but the model has {count} "
                    f"classes: give a list of {count}."
                )
            return classes, None
        ids = [label.id for label in options.labels]
        if count is not None and max(ids) != count:
            raise ConversionError(
                f"the list goes up to the id {max(ids)}, but the model's classes up to {count}: "
                f"give a list of its {count} classes, or one with their ids."
            )
        labels = graph.dense_labels(classes, ids)
        return labels, graph.true_rows(
            ops.greater_equal(labels, ops.constant(0, graph.I64)).output(0)
        )


DETECTRON2 = TorchTuple("detectron2", first_class=0, color_order="bgr", highest=255.0)
TORCHVISION = TorchTuple("torchvision", first_class=1, color_order="rgb", highest=1.0)


def _roles(model: ov.Model) -> tuple[dict[str, ov.Output], str]:
    """The outputs by role, and 'named' or 'by shape'. Raises ConversionError."""
    names = graph.outputs_by_name(model)
    found = {
        role: names[known]
        for role, all_known in _NAMES.items()
        for known in all_known
        if known in names
    }
    if all(role in found for role in _NEEDED):
        _check_shapes(found)
        return found, "named"
    return _roles_by_shape(model), "by shape"


def _roles_by_shape(model: ov.Model) -> dict[str, ov.Output]:
    candidates: dict[str, list[ov.Output]] = {}
    for output in model.outputs:
        candidates.setdefault(_role_of(output), []).append(output)
    for role in (*_NEEDED, "masks"):
        count = len(candidates.get(role, []))
        if count == 0 and role in _NEEDED:
            raise ConversionError(f"no output looks like {role} {_WANTED[role]}.")
        if count > 1:
            raise ConversionError(
                f"{count} outputs look like {role} {_WANTED[role]}: "
                f"{graph.describe_ports(candidates[role])}."
            )
    return {role: outputs[0] for role, outputs in candidates.items() if role}


_WANTED = {
    "boxes": "(real, [N,4])",
    "labels": "(integers, [N])",
    "scores": "(real, [N])",
    "masks": "(real, [N,1,h,w])",
}


def _role_of(output: ov.Output) -> str:
    """'' for an output that is none of ours."""
    shape, kind = output.get_partial_shape(), output.get_element_type()
    if shape.rank.is_dynamic:
        return ""
    rank = len(shape)
    if rank == 1 and kind.is_real():
        return "scores"
    if rank == 1:
        return "size" if shape[0] == ov.Dimension(2) else "labels"
    if rank == 2 and kind.is_real() and shape[1].compatible(ov.Dimension(4)):
        return "boxes"
    if rank == 4 and kind.is_real() and shape[1].compatible(ov.Dimension(1)):
        return "masks"
    return ""


def _check_shapes(found: dict[str, ov.Output]) -> None:
    ranks = {"boxes": (2,), "labels": (1,), "scores": (1,), "masks": (3, 4)}
    for role, output in found.items():
        shape = output.get_partial_shape()
        if role in ranks and (shape.rank.is_dynamic or len(shape) not in ranks[role]):
            raise ConversionError(f"the output {role} has the shape {shape}.")
    boxes = found["boxes"].get_partial_shape()
    if not boxes[1].compatible(ov.Dimension(4)) or boxes[1].is_dynamic:
        raise ConversionError(f"the output boxes has the shape {boxes}, not [N,4].")


def _has_name(model: ov.Model, name: str) -> bool:
    return name in graph.outputs_by_name(model)


def _mask_frame(model: ov.Model, masks: ov.Output) -> MaskFrame:
    """Whether the masks' size follows the input's. Raises ConversionError where nothing tells.

    Only shapes are computed, at two sizes, on a copy.
    """
    index = model.outputs.index(masks)
    sizes = []
    for height, width in _TRIAL_SIZES_HW:
        copy = model.clone()
        fixed = copy.input(0).get_partial_shape()
        wanted = [1, 3, height, width] if fixed[1] == ov.Dimension(3) else [1, height, width, 3]
        if fixed.is_dynamic:
            copy.reshape({copy.input(0): wanted})
        image = tuple(side.get_length() for side in input_size(copy))
        shape = copy.outputs[index].get_partial_shape()
        if shape[-2].is_dynamic or shape[-1].is_dynamic:
            break
        mask = (shape[-2].get_length(), shape[-1].get_length())
        sizes.append("image" if mask == image else "box" if mask[0] == mask[1] else "")
    if sizes == ["image", "image"]:
        return "image"
    if sizes == ["box", "box"]:
        return "box"
    raise ConversionError(
        f"nothing tells whether the masks {masks.get_partial_shape()} fill their boxes or cover "
        "the image: say --mask-frame box or --mask-frame image."
    )


def _flat(masks: ov.Output) -> ov.Output:
    """[N,1,h,w] -> [N,h,w]; [N,h,w] stays."""
    masks = graph.as_f32(masks)
    if len(masks.get_partial_shape()) == 3:
        return masks
    return ops.squeeze(masks, ops.constant(1, graph.I64)).output(0)


def _add_batch(model: ov.Model) -> None:
    """An input [3,H,W] becomes [1,3,H,W]."""
    image = graph.single_input(model)
    shape = image.get_partial_shape()
    if shape.rank.is_dynamic or len(shape) != 3:
        return
    readers = list(image.get_target_inputs())
    image.node.set_partial_shape(ov.PartialShape([ov.Dimension(1), *shape]))
    image.node.validate_and_infer_types()
    single = ops.squeeze(image, ops.constant(0, graph.I64)).output(0)
    for reader in readers:
        reader.replace_source_output(single)
    model.validate_nodes_and_infer_types()
