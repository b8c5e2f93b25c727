"""The TF Object Detection API family, on graphs whose rows are known."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
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


@pytest.mark.parametrize("shape", [(2, -1, -1, 3), (1, -1, -1, 4)])
def test_other_inputs_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ConversionError, match="must have the shape"):
        OdApi().adapt(od_api_model([], shape=shape), AdaptOptions(COCO_LABELS))


def test_it_is_detected_by_its_names() -> None:
    family, reason = detect(od_api_model([]))
    assert family.name == "od-api"
    assert "detection_masks" in reason
