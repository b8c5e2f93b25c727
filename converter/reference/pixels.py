"""u8 RGB pixels -> what a source itself takes: layout, channel order, mean, scale, number type.

Computed with numpy from what the command and the source say, apart from what the converter put
into the graph.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.errors import MeasurementError
from converter.contracts import Family, Preprocessing
from converter.contracts.od_api import OdApi
from converter.contracts.torch_tuple import TorchTuple
from converter.contracts.yolo import Yolo
from converter.graph import describe_ports, inputs_by_name
from converter.reference.reference import Array
from converter.sources import SourceModel

_IMAGE_INFO = ("im_info", "image_info")


def preprocessing_of(family: Family, given: Preprocessing) -> Preprocessing:
    """What was said, else what models of the family take."""
    if given.embedded or isinstance(family, OdApi):
        return Preprocessing("rgb")
    order, mean, scale = given.color_order, given.mean_values, given.scale_values
    if isinstance(family, TorchTuple):
        unsaid = () if family.highest == 255 else (255 / family.highest,)
        scale = scale or (() if mean else unsaid)
        return Preprocessing(order or family.color_order, mean, scale)
    if isinstance(family, Yolo):
        return Preprocessing(order or "rgb", mean, scale or (() if mean else (255.0,)))
    return Preprocessing(order or "bgr", mean, scale)


def source_inputs(
    source: SourceModel, tensor: npt.NDArray[np.uint8], preparation: Preprocessing
) -> dict[str, Array]:
    """`tensor` u8 [1,H,W,3] RGB, resized -> the source's inputs by name.

    Raises MeasurementError for inputs that are no image.
    """
    inputs = inputs_by_name(source.model)
    ports = {id(port.node): (name, port) for name, port in reversed(inputs.items())}
    told = {name: port for name, port in ports.values() if name in _IMAGE_INFO}
    images = [(name, port) for name, port in ports.values() if name not in _IMAGE_INFO]
    if len(images) != 1:
        raise MeasurementError(
            f"{source.path} has the inputs {describe_ports(source.model.inputs)}, but one image "
            "is needed."
        )
    name, port = images[0]
    given: dict[str, Array] = {name: _image(port, tensor, preparation)}
    for info, info_port in told.items():
        columns = info_port.get_partial_shape()[1].get_length()
        size = np.array([[tensor.shape[1], tensor.shape[2], 1.0][:columns]], np.float32)
        given[info] = size
    return given


def _image(port: ov.Output, tensor: npt.NDArray[np.uint8], preparation: Preprocessing) -> Array:
    shape = port.get_partial_shape()
    kind = port.get_element_type().to_dtype()
    pixels = tensor if preparation.color_order == "rgb" else tensor[..., ::-1]
    if preparation.mean_values or preparation.scale_values:
        mean = np.array(preparation.mean_values or (0.0,), np.float32)
        scale = np.array(preparation.scale_values or (1.0,), np.float32)
        prepared: Array = ((pixels.astype(np.float32) - mean) / scale).astype(np.float32)
    else:
        prepared = pixels
    three = ov.Dimension(3)
    if shape.rank.is_static and len(shape) in (3, 4) and shape[len(shape) - 3] == three:
        prepared = prepared.transpose(0, 3, 1, 2)
    elif not (shape.rank.is_static and len(shape) == 4 and shape[3].compatible(three)):
        raise MeasurementError(f"the source's input {describe_ports([port])} is no image.")
    if len(shape) == 3:
        prepared = prepared[0]
    return np.ascontiguousarray(prepared, kind)
