"""The Open Model Zoo / Model API family, on graphs whose rows are known."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from toy_sources import model_api_model, seeing_model

from backend.runtime.contract import Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.contracts import AdaptOptions, Preprocessing, detect
from converter.contracts.model_api import ModelApi, resize_from_model_info

BOX = (1.0, 2.0, 3.0, 4.0)
ANY_SIZE = ResizeRule("none")
LABELS = (Label(1, "hand"), Label(5, "face"))


def run(
    model: ov.Model, options: AdaptOptions, image: np.ndarray | None = None
) -> dict[str, np.ndarray]:
    adapted = ModelApi().adapt(model, options)
    pixels = np.zeros((1, 8, 6, 3), np.uint8) if image is None else image
    compiled = ov.compile_model(adapted.model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return {min(port.names): value for port, value in compiled({0: pixels}).items()}


def test_nothing_found_is_no_rows() -> None:
    found = run(model_api_model([]), AdaptOptions(LABELS, ANY_SIZE))
    assert found["boxes"].shape == (0, 5)
    assert found["labels"].shape == (0,)
    assert found["masks"].shape == (0, 2, 2)


@pytest.mark.parametrize("label_type", [np.int64, np.int32, np.float32])
def test_rows_come_out_as_they_are(label_type: type) -> None:
    model = model_api_model([(BOX, 0.9, 1), (BOX, 0.8, 0)], label_type=label_type)
    found = run(model, AdaptOptions(LABELS, ANY_SIZE))
    np.testing.assert_array_equal(found["boxes"], np.float32([[*BOX, 0.9], [*BOX, 0.8]]))
    assert found["labels"].tolist() == [1, 0]
    assert found["labels"].dtype == np.int64
    np.testing.assert_allclose(found["masks"][:, 0, 0], [0.0, 0.1])


def test_index_79_of_coco_is_toothbrush_with_id_90() -> None:
    found = run(model_api_model([(BOX, 0.9, 79)]), AdaptOptions(COCO_LABELS, ANY_SIZE))
    assert COCO_LABELS[found["labels"][0]] == Label(90, "toothbrush")


@pytest.mark.parametrize(
    ("classes", "number"), [(80, 79), (90, 89), (91, 90)], ids=["dense", "from id 1", "index is id"]
)
def test_a_model_with_gaps_is_mapped_where_its_classes_are_known(classes: int, number: int) -> None:
    options = AdaptOptions(COCO_LABELS, ANY_SIZE, source_classes=classes)
    found = run(model_api_model([(BOX, 0.9, number)]), options)
    assert COCO_LABELS[found["labels"][0]].name == "toothbrush"


def test_a_list_of_another_length_is_refused() -> None:
    options = AdaptOptions(LABELS, ANY_SIZE, source_classes=3)
    with pytest.raises(ConversionError, match="2 labels, but the model names 3 classes"):
        ModelApi().adapt(model_api_model([]), options)


def test_a_fixed_number_of_rows_loses_its_padding() -> None:
    rows = [(BOX, 0.9, 1), (BOX, 0.0, 0), (BOX, 0.5, -1), (BOX, 0.4, 0)]
    model = model_api_model(rows, dynamic_rows=False)
    found = run(model, AdaptOptions(LABELS, ANY_SIZE))
    np.testing.assert_allclose(found["boxes"][:, 4], [0.9, 0.4])
    np.testing.assert_allclose(found["masks"][:, 0, 0], [0.0, 0.3])


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        (Preprocessing(), [30, 20, 10]),
        (Preprocessing(color_order="rgb"), [10, 20, 30]),
        (Preprocessing("bgr", mean_values=(1.0, 2.0, 3.0)), [29, 18, 7]),
        (Preprocessing("rgb", (1.0,), (2.0,)), [4.5, 9.5, 14.5]),
        (Preprocessing("bgr", (), (10.0, 4.0, 2.0)), [3, 5, 5]),
    ],
)
def test_the_graph_sees_exactly_what_it_wants(given: Preprocessing, seen: list[float]) -> None:
    image = np.zeros((1, 8, 6, 3), np.uint8)
    image[0, 0, 0] = (10, 20, 30)
    found = run(seeing_model(), AdaptOptions(LABELS, ANY_SIZE, given), image)
    assert found["boxes"].tolist() == [[*seen, 8.0, 0.5]]


def test_a_detector_has_no_masks() -> None:
    adapted = ModelApi().adapt(model_api_model([], masks=False), AdaptOptions(LABELS, ANY_SIZE))
    assert adapted.mask_frame is None
    assert [port.get_names() for port in adapted.model.outputs] == [{"boxes"}, {"labels"}]


def test_the_input_becomes_bytes_in_rows() -> None:
    rule = ResizeRule("fit", width=6, height=8)
    adapted = ModelApi().adapt(model_api_model([], shape=(1, 3, 8, 6)), AdaptOptions(LABELS, rule))
    image = adapted.model.input("image")
    assert image.get_element_type() == ov.Type.u8
    assert str(image.get_partial_shape()) == "[1,8,6,3]"


@pytest.mark.parametrize(
    ("shape", "rule", "reason"),
    [
        ((1, 3, -1, -1), None, "shortest-edge:SHORT:LONG"),
        ((1, 3, 8, 6), None, "stretch:6x8.*fit:6x8.*or letterbox:6x8"),
        ((1, 3, 8, 6), "stretch:8x6", "does not fit"),
        ((1, 3, 8, 6), "none", "does not fit"),
        ((1, 3, 8, 6), "shortest-edge:6:8", "does not fit"),
        ((1, 4, 8, 6), "stretch:6x8", "must be an image"),
        ((2, 3, 8, 6), "stretch:6x8", "must be an image"),
    ],
)
def test_what_is_not_said_or_does_not_fit_is_refused(
    shape: tuple[int, ...], rule: str | None, reason: str
) -> None:
    options = AdaptOptions(LABELS, ResizeRule.parse(rule) if rule else None)
    with pytest.raises(ConversionError, match=reason):
        ModelApi().adapt(model_api_model([], shape=shape), options)


@pytest.mark.parametrize(
    ("info", "rule"),
    [
        ({}, None),
        ({"resize_type": "standard"}, "stretch:6x8"),
        ({"resize_type": "fit_to_window"}, "fit:6x8"),
        ({"resize_type": "fit_to_window", "pad_value": "114"}, "fit:6x8:114"),
        ({"resize_type": "fit_to_window_letterbox"}, "letterbox:6x8"),
        ({"resize_type": "fit_to_window_letterbox", "pad_value": "0"}, "letterbox:6x8:0"),
    ],
)
def test_resize_type_of_model_api(info: dict[str, str], rule: str | None) -> None:
    found, _ = resize_from_model_info(info, model_api_model([], shape=(1, 3, 8, 6)))
    assert (found and str(found)) == rule


def test_a_resize_type_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"crop.*not supported"):
        resize_from_model_info({"resize_type": "crop"}, model_api_model([], shape=(1, 3, 8, 6)))


def test_it_is_detected_by_names_and_shapes() -> None:
    family, reason = detect(model_api_model([]))
    assert family.name == "model-api"
    assert "boxes [?,5]" in reason
