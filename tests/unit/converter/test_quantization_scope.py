"""Which operations become INT8, on small graphs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from two_stage_model import save_two_stage_model

from backend.demo import MODEL_PATH
from backend.runtime.engine import read_ir
from backend.runtime.errors import ConversionError
from converter.quantization_scope import LAYERS, scope_of


def named(node: ov.Node, name: str) -> ov.Node:
    node.set_friendly_name(name)
    return node


def conv(x: ov.Node, name: str, channels: int = 3) -> ov.Node:
    weights = ops.constant(np.ones((channels, channels, 1, 1), np.float16))
    widened = ops.convert(weights, "f32")
    return named(ops.convolution(x, widened, [1, 1], [0, 0], [0, 0], [1, 1]), name)


def one_stage() -> ov.Model:
    """Preparation, two layers with something between, and arithmetic behind."""
    image = ops.parameter([1, 3, 8, 8], np.uint8, name="image")
    prepared = named(ops.divide(ops.convert(image, "f32"), np.float32(255)), "prepare")
    first = named(ops.relu(conv(prepared, "first")), "relu")
    skip = named(ops.add(conv(first, "second"), first), "skip")
    last = conv(skip, "last")
    boxes = named(ops.multiply(ops.exp(last), np.float32(8)), "decode")
    return ov.Model([ops.result(boxes)], [image], "one-stage")


def test_a_graph_without_layers_is_refused() -> None:
    image = ops.parameter([1, 3, 8, 8], np.float32)
    model = ov.Model([ops.result(ops.relu(image))], [image], "none")
    with pytest.raises(ConversionError, match="no convolution has weights"):
        scope_of(model)


def test_one_stage_features_may_become_int8_and_nothing_else() -> None:
    scope = scope_of(one_stage())
    assert scope.stages == "one-stage"
    assert scope.layers == ("first", "second", "last")
    assert {"prepare", "decode"} <= set(scope.ignored)
    assert not {"relu", "skip"} & set(scope.ignored)


def test_two_stages_layers_alone(tmp_path: Path) -> None:
    model = read_ir(save_two_stage_model(tmp_path / "m.xml"))
    scope = scope_of(model)
    kinds = {node.get_friendly_name(): node.get_type_name() for node in model.get_ops()}
    assert scope.stages == "two-stage"
    assert len(scope.layers) == 10
    assert {kinds[name] for name in scope.layers} <= LAYERS
    assert not set(scope.layers) & set(scope.ignored)
    kept = {kinds[name] for name in scope.ignored}
    assert {"NonMaxSuppression", "ROIAlign", "Sqrt", "Exp", "Relu"} <= kept


def test_the_demos_model_cuts_masks_out_at_its_own_boxes() -> None:
    scope = scope_of(read_ir(MODEL_PATH))
    assert (scope.stages, len(scope.layers)) == ("two-stage", 26)


def test_a_sum_over_probabilities_is_box_arithmetic() -> None:
    image = ops.parameter([1, 3, 8, 8], np.float32)
    layer = conv(image, "layer")
    model = ov.Model([ops.result(conv(ops.softmax(layer, 1), "distances"))], [image], "yolo")
    assert scope_of(model).layers == ("layer",)
    assert "distances" in scope_of(model).ignored
    between = conv(conv(ops.softmax(layer, 1), "distances"), "further")
    scope = scope_of(ov.Model([ops.result(between)], [image], "yolo"))
    assert scope.layers == ("layer", "further")
    assert "distances" in scope.ignored


def test_a_product_of_two_answers_has_no_weights() -> None:
    image = ops.parameter([1, 3, 8, 8], np.float32)
    one, other = conv(image, "one"), conv(image, "other")
    product = named(ops.matmul(one, other, False, False), "product")
    scope = scope_of(ov.Model([ops.result(product)], [image], "masks"))
    assert scope.layers == ("one", "other")
    assert "product" in scope.ignored


@pytest.mark.parametrize(
    ("keep", "layers"),
    [
        (["first"], ("second", "last")),
        (["re:(sec|la).*"], ("first",)),
        (["type:Add", "last"], ("first", "second")),
    ],
)
def test_experts_leave_more_as_it_is(keep: list[str], layers: tuple[str, ...]) -> None:
    scope = scope_of(one_stage(), keep)
    assert scope.layers == layers
    assert ("skip" in scope.ignored) == ("type:Add" in keep)


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        ("nothing", "fits no operation"),
        ("type:Conv", "fits no operation"),
        ("re:(", "is no regular expression"),
        ("type:Convolution", "leaves none"),
    ],
)
def test_what_cannot_be_left_out(keep: str, said: str) -> None:
    with pytest.raises(ConversionError, match=said):
        scope_of(one_stage(), [keep])
