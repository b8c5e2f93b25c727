"""Whether masks fill their boxes or cover the input, from their size."""

from __future__ import annotations

import openvino as ov

from backend.runtime.contract import MaskFrame

# Two inputs that no model has as the side of its masks.
_TRIAL_SIZES_HW = ((416, 608), (352, 544))


def frame_by_size(model: ov.Model, masks: ov.Output, *, nchw: bool) -> MaskFrame | None:
    """'image' where the masks' size is the input's, 'box' where it is one and the same whatever
    the input; None where nothing tells.

    `masks`: an output of `model`, [..,h,w]. Only shapes are computed, at two sizes, on a copy.
    """
    index = model.outputs.index(masks)
    image = model.input(0).get_partial_shape()
    first = 2 if nchw else 1
    if image[first].is_static and image[first + 1].is_static:
        sizes = [(image[first].get_length(), image[first + 1].get_length())]
    else:
        sizes = list(_TRIAL_SIZES_HW)
    found = set()
    for height, width in sizes:
        mask = _mask_size(model, index, [1, 3, height, width] if nchw else [1, height, width, 3])
        if mask is None:
            return None
        found.add("image" if mask == (height, width) else mask)
    if found == {"image"}:
        return "image"
    return "box" if len(found) == 1 else None


def _mask_size(model: ov.Model, index: int, image: list[int]) -> tuple[int, int] | None:
    shape = model.outputs[index].get_partial_shape()
    if shape[-2].is_dynamic or shape[-1].is_dynamic:
        copy = model.clone()
        try:
            copy.reshape({copy.input(0): image})
        except RuntimeError:  # a graph that cannot have this size says nothing
            return None
        shape = copy.outputs[index].get_partial_shape()
    if shape[-2].is_dynamic or shape[-1].is_dynamic:
        return None
    return shape[-2].get_length(), shape[-1].get_length()
