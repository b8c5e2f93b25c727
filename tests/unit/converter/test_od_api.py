"""The TF Object Detection API family, on graphs whose rows are known."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from toy_sources import od_api_model

from backend.runtime.contract import Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.contracts import AdaptOptions, Preprocessing, detect
from converter.contracts.od_api import OdApi

BOX = (0.1, 0.2, 0.5, 0.6)


def run(
    model: ov.Model, labels: tuple[Label, ...] = COCO_LABELS, size_hw: tuple[int, int] = (100, 50)
) -> dict[str, np.ndarray]:
    adapted = OdApi().adapt(model, AdaptOptions(labels))
    answers = ov.compile_model(adapted.model, "CPU")({0: np.zeros((1, *size_hw, 3), np.uint8)})
    return {min(port.names): value for port, value in answers.items()}


def classes(values: list[float], labels: tuple[Label, ...] = COCO_LABELS) -> list[str]:
    found = run(od_api_model([(BOX, 0.9, value) for value in values]), labels)
    return [labels[i].name for i in found["labels"]]


def test_only_padding_is_no_rows() -> None:
    found = run(od_api_model([(BOX, 0.9, 1.0)] * 3, count=0))
    assert found["boxes"].shape == (0, 5)
    assert found["labels"].shape == (0,)
    assert found["masks"].shape == (0, 2, 2)


def test_boxes_are_xyxy_in_pixels_with_score() -> None:
    found = run(od_api_model([(BOX, 0.75, 1.0)]), size_hw=(100, 50))
    np.testing.assert_allclose(found["boxes"], [[10, 10, 30, 50, 0.75]], rtol=1e-6)
    assert {name: value.dtype for name, value in found.items()} == {
        "boxes": np.float32,
        "labels": np.int64,
        "masks": np.float32,
    }


def test_padding_is_cut_and_rows_stay_together() -> None:
    rows = [(BOX, 0.9, 1.0), (BOX, 0.8, 3.0), (BOX, 0.7, 2.0)]
    found = run(od_api_model(rows, count=2))
    np.testing.assert_allclose(found["boxes"][:, 4], [0.9, 0.8])
    assert found["labels"].tolist() == [0, 2]
    np.testing.assert_allclose(found["masks"][:, 0, 0], [0.0, 0.1])


def test_a_category_id_is_not_an_index() -> None:
    assert classes([90.0, 1.0, 13.0]) == ["toothbrush", "person", "stop sign"]


def test_class_values_go_to_the_nearest_integer() -> None:
    assert classes([1.988, 4.012]) == ["bicycle", "motorcycle"]


def test_ids_outside_the_list_are_dropped_with_their_rows() -> None:
    rows = [(BOX, 0.9, 12.0), (BOX, 0.8, 91.0), (BOX, 0.7, 90.0), (BOX, 0.6, 0.0), (BOX, 0.5, -1.0)]
    found = run(od_api_model(rows))
    assert found["labels"].tolist() == [79]
    np.testing.assert_allclose(found["boxes"][:, 4], [0.7])
    np.testing.assert_allclose(found["masks"][:, 0, 0], [0.2])


def test_ids_in_any_order_and_from_0() -> None:
    labels = (Label(7, "seven"), Label(0, "zero"), Label(3, "three"))
    assert classes([0.0, 3.0, 7.0, 5.0], labels) == ["zero", "three", "seven"]


def test_a_detector_has_no_masks() -> None:
    model = od_api_model([(BOX, 0.9, 1.0)], masks=False)
    assert OdApi().adapt(model, AdaptOptions(COCO_LABELS)).mask_frame is None
    assert set(run(od_api_model([(BOX, 0.9, 1.0)], masks=False))) == {"boxes", "labels"}


def test_only_the_contracts_ports_are_left() -> None:
    adapted = OdApi().adapt(od_api_model([(BOX, 0.9, 1.0)]), AdaptOptions(COCO_LABELS))
    assert [port.get_names() for port in adapted.model.inputs] == [{"image"}]
    assert [port.get_names() for port in adapted.model.outputs] == [
        {"boxes"},
        {"labels"},
        {"masks"},
    ]
    assert adapted.resize == ResizeRule("none")
    assert adapted.mask_frame == "box"


def test_a_fixed_input_is_stretched_to() -> None:
    model = od_api_model([(BOX, 0.9, 1.0)], shape=(1, 32, 64, 3))
    adapted = OdApi().adapt(model, AdaptOptions(COCO_LABELS))
    assert str(adapted.resize) == "stretch:64x32"
    assert "64x32" in adapted.assumed[0]


@pytest.mark.parametrize(
    "given",
    [
        Preprocessing(color_order="bgr"),
        Preprocessing(mean_values=(1.0,)),
        Preprocessing(scale_values=(1.0,)),
    ],
)
def test_preprocessing_is_refused(given: Preprocessing) -> None:
    with pytest.raises(ConversionError, match="normalises inside"):
        OdApi().adapt(od_api_model([]), AdaptOptions(COCO_LABELS, preprocessing=given))


@pytest.mark.parametrize(
    ("given", "seen", "said"),
    [
        (Preprocessing(), 200.0, "taken to hold 0..255"),
        (Preprocessing(scale_values=(255.0,)), 200 / 255, ""),
        (Preprocessing(None, (100.0,), (50.0,)), 2.0, ""),
        (Preprocessing(color_order="bgr"), 10.0, ""),
    ],
)
def test_a_float_input_may_be_normalised_outside(
    given: Preprocessing, seen: float, said: str
) -> None:
    """As TensorFlow Lite models have it: the score here is a hundredth of the first channel."""
    image = ops.parameter([1, 8, 6, 3], np.float32)
    image.output(0).set_names({"input:0"})
    first = ops.slice(image, [0, 0, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1])
    score = ops.multiply(ops.reshape(first, np.array([1, 1]), False), np.float32(0.01))
    outputs = {
        "detection_boxes": ops.add(ops.multiply(ops.unsqueeze(score, 2), np.float32(0)),
                                   np.float32([[[0, 0, 1, 1]]])),
        "detection_scores": score,
        "detection_classes": ops.add(ops.multiply(score, np.float32(0)), np.float32(1)),
        "num_detections": ops.constant(np.float32([1])),
    }  # fmt: skip
    results = []
    for name, node in outputs.items():
        result = ops.result(node)
        result.output(0).set_names({name})
        results.append(result)
    model = ov.Model(results, [image], "float")
    options = AdaptOptions(COCO_LABELS, preprocessing=given)
    adapted = OdApi().adapt(model, options)
    assert said in " ".join(adapted.assumed)
    compiled = ov.compile_model(adapted.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    pixels = np.full((1, 8, 6, 3), (200, 20, 10), np.uint8)
    found = {min(port.names): value for port, value in compiled({0: pixels}).items()}
    np.testing.assert_allclose(found["boxes"], [[0, 0, 6, 8, seen / 100]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(2, -1, -1, 3), (1, -1, -1, 4)])
def test_other_inputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConversionError, match="must have the shape"):
        OdApi().adapt(od_api_model([], shape=shape), AdaptOptions(COCO_LABELS))


def test_it_is_detected_by_its_names() -> None:
    family, reason = detect(od_api_model([]))
    assert family.name == "od-api"
    assert "detection_masks" in reason
