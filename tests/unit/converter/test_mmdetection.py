"""mmdetection's and OTX's names, batches in front, and masks in two frames."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from toy_sources import ApiRow, model_api_model

from backend.runtime.contract import Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.contracts import AdaptOptions, Preprocessing, detect
from converter.contracts.model_api import ModelApi

LABELS = (Label(1, "hand"), Label(2, "face"))
ROWS: Sequence[ApiRow] = [((1.0, 2.0, 3.0, 4.0), 0.9, 1), ((0.0, 0.0, 0.0, 0.0), 0.0, -1)]
RGB = Preprocessing("rgb", (0.0,))


def batched(boxes: str, rows: Sequence[ApiRow] = ROWS, **more: object) -> ov.Model:
    """dets [1,N,5], labels [1,N] and masks [1,N,h,w]."""
    model = model_api_model(rows, **more)  # type: ignore[arg-type]
    for result in model.get_results():
        (name,) = result.output(0).get_names()
        added = ops.unsqueeze(result.input_value(0), np.int64(0))
        result.input(0).replace_source_output(added.output(0))
        result.output(0).set_names({boxes if name == "boxes" else name})
    model.validate_nodes_and_infer_types()
    return model


def masks_of_size(model: ov.Model, size: ov.Node) -> ov.Model:
    """The masks stretched to the size i64 [2]."""
    (result,) = [r for r in model.get_results() if "masks" in r.output(0).get_names()]
    rows = ops.gather(ops.shape_of(result.input_value(0)), np.array([0]), np.int64(0))
    flat = ops.reduce_max(result.input_value(0), np.array([1, 2]), keep_dims=True)
    target = ops.concat([rows, size], 0)
    result.input(0).replace_source_output(ops.broadcast(flat, target).output(0))
    model.validate_nodes_and_infer_types()
    return model


def run(model: ov.Model, options: AdaptOptions) -> dict[str, np.ndarray]:
    adapted = ModelApi().adapt(model, options)
    compiled = ov.compile_model(adapted.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    answer = compiled({0: np.zeros((1, 8, 6, 3), np.uint8)})
    return {min(port.names): value for port, value in answer.items()}


@pytest.mark.parametrize("name", ["dets", "bboxes", "boxes"])
def test_nothing_found(name: str) -> None:
    found = run(batched(name, []), AdaptOptions(LABELS, ResizeRule("none"), RGB))
    assert found["boxes"].shape == (0, 5)
    assert found["masks"].shape == (0, 2, 2)


@pytest.mark.parametrize("name", ["dets", "bboxes", "boxes"])
@pytest.mark.parametrize("dynamic_rows", [True, False])
def test_the_batch_and_the_padding_fall_away(name: str, dynamic_rows: bool) -> None:
    model = batched(name, dynamic_rows=dynamic_rows)
    assert detect(model)[0].name == "model-api"
    found = run(model, AdaptOptions(LABELS, ResizeRule("none"), RGB))
    np.testing.assert_array_equal(found["boxes"], np.float32([[1, 2, 3, 4, 0.9]]))
    assert found["labels"].tolist() == [1]
    assert found["masks"].shape == (1, 2, 2)


def test_normalisation_must_be_said() -> None:
    with pytest.raises(ConversionError, match=r"data_preprocessor.*--mean-values 0"):
        ModelApi().adapt(batched("dets"), AdaptOptions(LABELS, ResizeRule("none")))


@pytest.mark.parametrize(
    ("shape", "size", "frame"),
    [
        ((1, 3, 8, 6), [28, 28], "box"),
        ((1, 3, 8, 6), [8, 6], "image"),
        ((1, 3, -1, -1), [28, 28], "box"),
        ((1, 3, -1, -1), None, "image"),
        ((1, 3, 8, 6), None, "image"),
    ],
)
def test_the_frame_follows_from_the_size(
    shape: tuple[int, ...], size: list[int] | None, frame: str
) -> None:
    """None: the masks take the input's size, as mmdeploy's export_postprocess_mask=True."""
    model = model_api_model([((1.0, 2.0, 3.0, 4.0), 0.9, 1)], shape=shape)
    image = model.input(0)
    follows = ops.gather(ops.shape_of(image), np.array([2, 3]), np.int64(0))
    model = masks_of_size(model, follows if size is None else ops.constant(np.array(size)))
    rule = ResizeRule("none") if shape[2] < 0 else ResizeRule.parse("fit:6x8")
    adapted = ModelApi().adapt(model, AdaptOptions(LABELS, rule))
    assert adapted.mask_frame == frame


def test_a_size_that_depends_on_the_picture_says_nothing() -> None:
    model = model_api_model([((1.0, 2.0, 3.0, 4.0), 0.9, 1)])
    seen = ops.convert(ops.reduce_max(model.input(0), np.array([0, 1, 2, 3])), "i64")
    size = ops.broadcast(ops.add(seen, np.int64(3)), np.array([2]))
    with pytest.raises(ConversionError, match="--mask-frame box or --mask-frame image"):
        ModelApi().adapt(masks_of_size(model, size), AdaptOptions(LABELS, ResizeRule("none")))
