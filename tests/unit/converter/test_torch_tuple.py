"""The tuples of Detectron2 and torchvision, on graphs whose rows are known; no torch is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from backend.runtime.contract import Label, MaskFrame, ResizeRule
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.contracts import AdaptOptions, Preprocessing, detect
from converter.contracts.family import Adapted
from converter.contracts.torch_tuple import DETECTRON2, TORCHVISION, TorchTuple

ANY_SIZE = ResizeRule("none")
LABELS = (Label(1, "ant"), Label(2, "bee"), Label(5, "cat"))
OPTIONS = AdaptOptions(LABELS, ANY_SIZE)
DETECTRON2_NAMES = ("pred_boxes", "pred_classes", "pred_masks", "scores", "size")
TORCHVISION_NAMES = ("boxes", "labels", "scores", "masks")
# One row: class number, score; its box is (0, 0, the first pixel's channels 0 and 1)
Row = tuple[int, float]


def tuple_model(
    rows: Sequence[Row],
    order: Sequence[str],
    *,
    names: bool = False,
    frame: MaskFrame = "box",
    shape: Sequence[int] = (1, 3, -1, -1),
) -> ov.Model:
    """Outputs of the roles `order`, one of the two tuples above, maybe without the last ones."""
    image = ops.parameter(ov.PartialShape(list(shape)), np.float32)
    flat = ops.reshape(image, np.array([3, -1]), False)
    pixel = ops.gather(flat, np.int64(0), np.int64(1))
    size = ops.gather(ops.shape_of(image), np.array([len(shape) - 2, len(shape) - 1]), np.int64(0))
    count = ops.add(
        np.int64(len(rows)),
        ops.convert(ops.multiply(ops.reduce_max(pixel, np.array([0])), np.float32(0)), "i64"),
    )
    every = ops.range(np.int64(0), count, np.int64(1), "i64")
    corner = ops.concat([np.zeros(2, np.float32), ops.gather(pixel, [0, 1], np.int64(0))], 0)
    target = ops.concat([ops.unsqueeze(count, np.int64(0)), np.array([4])], 0)
    masks = ops.constant(np.full((len(rows), 1, 7, 7), 0.75, np.float32))
    if frame == "image":
        whole = ops.concat([np.array([len(rows), 1]), size], 0)
        masks = ops.broadcast(np.float32(0.75), whole)
    values = {
        "boxes": ops.broadcast(corner, target),
        "labels": _cut(np.array([r[0] for r in rows], np.int64), every),
        "scores": _cut(np.array([r[1] for r in rows], np.float32), every),
        "masks": ops.gather(masks, every, np.int64(0)),
        "size": size,
    }
    results = []
    for name in order:
        role = name.removeprefix("pred_").replace("classes", "labels")
        result = ops.result(values[role])
        if names:
            result.output(0).set_names({name})
        results.append(result)
    return ov.Model(results, [image], "traced")


def _cut(values: np.ndarray, every: ov.Node) -> ov.Node:
    return ops.gather(ops.constant(values), every, np.int64(0))


def run(adapted: Adapted, rgb: tuple[int, int, int] = (10, 20, 30)) -> dict[str, np.ndarray]:
    pixels = np.broadcast_to(np.array(rgb, np.uint8), (1, 12, 16, 3))
    compiled = ov.compile_model(adapted.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {min(port.names): value for port, value in compiled({0: pixels}).items()}


@pytest.mark.parametrize("family", [DETECTRON2, TORCHVISION])
@pytest.mark.parametrize("frame", ["box", "image"])
def test_nothing_found_is_no_rows(family: TorchTuple, frame: MaskFrame) -> None:
    order = DETECTRON2_NAMES if family is DETECTRON2 else TORCHVISION_NAMES
    adapted = family.adapt(tuple_model([], order, frame=frame), OPTIONS)
    found = run(adapted)
    assert found["boxes"].shape == (0, 5)
    assert found["labels"].shape == (0,)
    assert found["masks"].shape[0] == 0
    assert adapted.mask_frame == frame


def test_detectron2_counts_from_zero_and_takes_bgr() -> None:
    adapted = DETECTRON2.adapt(tuple_model([(2, 0.9), (0, 0.5)], DETECTRON2_NAMES), OPTIONS)
    found = run(adapted)
    assert found["labels"].tolist() == [2, 0]
    np.testing.assert_allclose(found["boxes"], [[0, 0, 30, 20, 0.9], [0, 0, 30, 20, 0.5]])
    assert found["masks"].shape == (2, 7, 7)
    assert adapted.mask_frame == "box"


def test_torchvision_gives_category_ids_and_takes_rgb_up_to_1() -> None:
    """Rows whose class is not in the list fall away."""
    rows = [(5, 0.9), (3, 0.8), (1, 0.5)]
    found = run(TORCHVISION.adapt(tuple_model(rows, TORCHVISION_NAMES), OPTIONS), (51, 102, 0))
    assert [LABELS[label].name for label in found["labels"]] == ["cat", "ant"]
    np.testing.assert_allclose(
        found["boxes"], [[0, 0, 0.2, 0.4, 0.9], [0, 0, 0.2, 0.4, 0.5]], rtol=1e-6
    )
    assert found["masks"].shape == (2, 7, 7)


def test_id_90_of_coco_is_toothbrush() -> None:
    options = AdaptOptions(COCO_LABELS, ANY_SIZE, source_classes=90)
    found = run(TORCHVISION.adapt(tuple_model([(90, 0.9)], TORCHVISION_NAMES[:3]), options))
    assert COCO_LABELS[found["labels"][0]].name == "toothbrush"


def test_masks_that_cover_the_image() -> None:
    model = tuple_model([(1, 0.9)], TORCHVISION_NAMES, frame="image")
    adapted = TORCHVISION.adapt(model, OPTIONS)
    assert adapted.mask_frame == "image"
    assert run(adapted)["masks"].shape == (1, 12, 16)


def test_the_masks_frame_can_be_said() -> None:
    model = tuple_model([(1, 0.9)], TORCHVISION_NAMES, shape=(1, 3, 7, 7))
    options = AdaptOptions(LABELS, ResizeRule("stretch", width=7, height=7), mask_frame="box")
    assert TORCHVISION.adapt(model, options).mask_frame == "box"


def test_what_is_said_of_the_input_wins() -> None:
    given = AdaptOptions(LABELS, ANY_SIZE, Preprocessing("rgb", (1.0,), (2.0,)))
    adapted = DETECTRON2.adapt(tuple_model([(0, 0.5)], DETECTRON2_NAMES), given)
    assert adapted.assumed == ()
    np.testing.assert_allclose(run(adapted)["boxes"], [[0, 0, 4.5, 9.5, 0.5]])


def test_an_input_without_a_batch() -> None:
    model = tuple_model([(0, 0.5)], DETECTRON2_NAMES, shape=(3, -1, -1))
    adapted = DETECTRON2.adapt(model, OPTIONS)
    assert str(adapted.model.input("image").partial_shape) == "[1,?,?,3]"
    np.testing.assert_allclose(run(adapted)["boxes"], [[0, 0, 30, 20, 0.5]])


@pytest.mark.parametrize(
    ("order", "names", "family", "reason"),
    [
        (DETECTRON2_NAMES, True, "detectron2", "named"),
        (DETECTRON2_NAMES, False, "detectron2", "by shape"),
        (DETECTRON2_NAMES[:2] + DETECTRON2_NAMES[3:], False, "detectron2", "by shape"),
        (TORCHVISION_NAMES, True, "torchvision", "named"),
        (TORCHVISION_NAMES[:3], True, "torchvision", "named"),
    ],
)
def test_which_family(order: Sequence[str], names: bool, family: str, reason: str) -> None:
    found, why = detect(tuple_model([(0, 0.5)], order, names=names))
    assert found.name == family
    assert reason in why


def test_nothing_tells_where_classes_begin() -> None:
    model = tuple_model([(0, 0.5)], TORCHVISION_NAMES)
    with pytest.raises(ConversionError, match="from 0 \\(--family detectron2\\) or from 1"):
        detect(model)


def test_two_outputs_that_look_the_same() -> None:
    model = tuple_model([(0, 0.5)], (*DETECTRON2_NAMES, "scores"))
    with pytest.raises(ConversionError, match="2 outputs look like scores"):
        DETECTRON2.adapt(model, OPTIONS)


@pytest.mark.parametrize(
    ("family", "classes", "says"),
    [
        (DETECTRON2, 80, "the list has 3 labels, but the model has 80 classes: give a list of 80"),
        (TORCHVISION, 3, "goes up to the id 5, but the model's classes up to 3"),
    ],
)
def test_a_list_of_another_length(family: TorchTuple, classes: int, says: str) -> None:
    model = tuple_model([(0, 0.5)], DETECTRON2_NAMES)
    with pytest.raises(ConversionError, match=says):
        family.adapt(model, AdaptOptions(LABELS, ANY_SIZE, source_classes=classes))


def test_how_an_image_becomes_the_input_must_be_said() -> None:
    with pytest.raises(ConversionError, match="--resize shortest-edge:SHORT:LONG"):
        DETECTRON2.adapt(tuple_model([(0, 0.5)], DETECTRON2_NAMES), AdaptOptions(LABELS))
