"""A PyTorch module -> ov.Model: traced, frozen, converted, its outputs named."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import openvino as ov
from openvino._offline_transformations import apply_moc_transformations

from backend.runtime.errors import ConversionError
from backend.runtime.image import decode_image
from converter.extensions import conversion_failure, extensions
from converter.phases import begin
from converter.sources.source import LoadOptions, reason_of

_PICTURE = Path(__file__).parent.parent / "self_test.jpg"


def import_torch(*, torchvision: bool = False) -> Any:
    """The module torch. Raises ConversionError where PyTorch, or torchvision, is not installed."""
    try:
        with quiet():
            import torch

            if torchvision:
                importlib.import_module("torchvision")
    except (ImportError, RuntimeError) as error:  # torchvision beside the wrong torch raises both
        raise ConversionError(
            f"this source needs PyTorch, which cannot be imported ({reason_of(error)}): "
            "pip install labelvino[torch]."
        ) from error
    return torch


def example_image(
    options: LoadOptions, *, short: int | None = None, highest: float = 1.0, batch: bool = False
) -> Any:
    """The tensor to trace with: a picture as f32 [1,3,H,W] RGB 0..`highest`, or a .npy as it is.

    By default a small picture: detectors traced with noise find nothing. `short`: scales a picture
    so that its short side has that many pixels; `batch`: [3,H,W] becomes [1,3,H,W]. Raises
    ConversionError.
    """
    import torch

    path = options.example_input or _PICTURE
    try:
        if path.suffix.lower() == ".npy":
            array: np.ndarray = np.load(path, allow_pickle=False)
        else:
            array = _planes(decode_image(path.read_bytes()).pixels, short, highest)
    except FileNotFoundError as error:
        raise ConversionError(f"there is no example input {path}.") from error
    except (OSError, ValueError, EOFError) as error:
        raise ConversionError(f"the example input {path} cannot be read: {error}.") from error
    if array.ndim not in (3, 4) or array.shape[-3] != 3 or len(array) not in (1, 3):
        raise ConversionError(
            f"the example input has the shape {list(array.shape)}, but must be an image [3,H,W] "
            "or [1,3,H,W]."
        )
    image = torch.from_numpy(array).float()
    return image[None] if batch and image.ndim == 3 else image


def any_size(image: Any) -> list[int]:
    """The shape of an input like `image`, of any height and width (-1)."""
    return [*image.shape[:-2], -1, -1]


def _planes(pixels: np.ndarray, short: int | None, highest: float) -> np.ndarray:
    """u8 [H,W,3] -> f32 [1,3,H,W]."""
    if short is not None:
        scale = short / min(pixels.shape[:2])
        pixels = cv2.resize(pixels, None, fx=scale, fy=scale)
    planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)[np.newaxis], np.float32)
    return planes * np.float32(highest / 255)


def convert_module(
    module: Any,
    example: Any,
    names: Sequence[str] = (),
    *,
    shape: Sequence[int] | None = None,
    what: str = "the model",
) -> ov.Model:
    """Trace `module` with one tensor, freeze it, and convert it.

    `names`: of the outputs, in their order; empty leaves those that OpenVINO gives. `shape`: of
    the input, -1 for what is dynamic. Raises ConversionError.
    """
    import torch

    try:
        with quiet(), torch.no_grad():
            # check_trace would run the model twice more, and frozen constants convert best
            traced = torch.jit.trace(module.eval(), (example,), check_trace=False, strict=False)
            traced = torch.jit.freeze(traced.eval())
    except Exception as error:  # whatever the model's own code raises
        raise ConversionError(
            f"{what} cannot be traced: {reason_of(error)}: give an --example-input that it takes, "
            "or a module that works on tensors alone."
        ) from error
    return convert_traced(traced, names, shape=shape, what=what)


def convert_traced(
    traced: Any, names: Sequence[str] = (), *, shape: Sequence[int] | None, what: str
) -> ov.Model:
    """A TorchScript module or an exported program as ov.Model. Raises ConversionError."""
    try:
        with quiet():
            given = None if shape is None else [(ov.PartialShape(list(shape)), ov.Type.f32)]
            begin("convert")
            model = ov.convert_model(traced, input=given, extension=extensions())
    except Exception as error:  # OpenVINO's own have several unrelated types
        if found := conversion_failure(error):
            raise ConversionError(f"{what}: {found}") from error
        raise ConversionError(
            f"{what} uses something that OpenVINO cannot convert: {reason_of(error)}."
        ) from error
    apply_moc_transformations(model, cf=False, smart_reshape=False)
    if names and len(names) != len(model.outputs):
        raise ConversionError(
            f"{what} gives {len(model.outputs)} outputs, not the {len(names)} expected "
            f"({', '.join(names)})."
        )
    for output, name in zip(model.outputs, names, strict=False):
        output.tensor.set_names({name})
    return model


def pad_right_and_below(images: Any, divisor: int) -> Any:
    """[.., H, W] with zeros up to a multiple of `divisor`.

    Height and width go separate ways: what OpenVINO makes of arithmetic on both at once pads some
    sizes by a divisor too much.
    """
    import torch

    height, width = images.shape[-2], images.shape[-1]
    right, below = (-width) % divisor, (-height) % divisor
    return torch.nn.functional.pad(images, (0, right, 0, below))


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of tracing, which say nothing to the user of this command."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
