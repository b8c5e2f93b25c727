"""What belongs to no family is refused with the reason."""

from __future__ import annotations

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops

from backend.runtime.errors import ConversionError
from converter.contracts import detect, family_named


def model_with(outputs: dict[str, tuple[int, ...]]) -> ov.Model:
    image = ops.parameter([1, 3, 8, 8], np.float32)
    results = []
    for name, shape in outputs.items():
        result = ops.result(ops.constant(np.zeros(shape, np.float32)))
        result.output(0).set_names({name})
        results.append(result)
    return ov.Model(results, [image], "foreign")


@pytest.mark.parametrize(
    ("outputs", "reason"),
    [
        ({"logits": (1, 1000)}, "no detector or instance segmentation.*logits f32 .1,1000."),
        ({"boxes": (5, 4), "labels": (5,)}, r"boxes has the shape .5,4., not .N,5."),
        ({"boxes": (1, 5, 5), "labels": (5,)}, "batch in front"),
        ({"boxes": (1, 1, 5, 5), "labels": (5,)}, "not 2 dimensions"),
        ({"boxes": (5, 5), "dets": (5, 5), "labels": (5,)}, "boxes and dets could both be"),
        (
            {
                "detection_boxes": (1, 5, 4),
                "detection_scores": (1, 5),
                "image_info": (1, 4, 2),
                "detection_classes": (1, 5),
                "num_detections": (1,),
            },
            "tf-models-official's exports have, which labelvino-model cannot read yet",
        ),
        (
            {"Identity:0": (1, 5, 4), "Identity_1:0": (1, 5)},
            "named only Identity.*--output.*SavedModel",
        ),
    ],
)
def test_no_family(outputs: dict[str, tuple[int, ...]], reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        detect(model_with(outputs))


def test_a_family_that_does_not_exist() -> None:
    with pytest.raises(ConversionError, match="od-api or model-api"):
        family_named("centernet")
