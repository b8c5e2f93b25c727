"""What OpenVINO's CPU plugin gets wrong: each trap is shown, and its repair or its warning.

Where a test of a trap fails because OpenVINO gives the right numbers, the trap is gone, and its
repair may go too.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset1 as opset1
import openvino.opset13 as ops
import pytest
from openvino.utils.node_factory import _get_node_factory

from backend.runtime.contract import read_contract
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from converter.cli import run
from converter.traps import repair_traps

I64 = np.int64
X86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="the trap is of x86-64 machines")
_RUN = """
import sys, numpy as np, openvino as ov
model, data, out = sys.argv[1:]
inputs = list(np.load(data).values())
found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(inputs)
np.save(out, found[0])
"""


def run_apart(model: ov.Model, inputs: Sequence[np.ndarray], folder: Path) -> np.ndarray | None:
    """The only output of a model at f32, or None where the process crashed."""
    xml, data, out = folder / "m.xml", folder / "in.npz", folder / "out.npy"
    ov.save_model(model, xml, compress_to_fp16=False)
    np.savez(data, *inputs)
    out.unlink(missing_ok=True)
    done = subprocess.run([sys.executable, "-c", _RUN, xml, data, out], check=False, timeout=60)
    return np.load(out) if done.returncode == 0 else None


def constant(*values: int) -> ov.Node:
    return ops.constant(np.array(values if len(values) > 1 else values[0], I64))


def batched_gather(axis: int = 1) -> ov.Model:
    """The rows (or columns) that the second input names, of a batch of one."""
    data = ops.parameter([1, 10, 4], np.float32)
    indices = ops.parameter([1, 5], I64)
    found = ops.gather(data, indices, constant(axis), batch_dims=1)
    return ov.Model([ops.result(found)], [data, indices], "gather")


ROWS = np.arange(40, dtype=np.float32).reshape(1, 10, 4)
WANTED = np.array([[9, 0, 3, 3, 7]])


@X86
def test_the_trap_of_a_batched_gather(tmp_path: Path) -> None:
    found = run_apart(batched_gather(), [ROWS, WANTED], tmp_path)
    assert found is None or not np.array_equal(found, ROWS[:, WANTED[0]])


@pytest.mark.parametrize("axis", [1, -2])
def test_a_batched_gather_is_repaired(axis: int, tmp_path: Path) -> None:
    model = batched_gather(axis)
    (sentence,) = repair_traps(model)
    assert "Gather batch_dims: 1 Gather" in sentence
    assert "replaced by GatherND" in sentence
    found = run_apart(model, [ROWS, WANTED], tmp_path)
    assert found is not None
    assert found.tolist() == ROWS[:, WANTED[0]].tolist()


def test_a_batched_gather_on_an_inner_axis_is_named_and_right(tmp_path: Path) -> None:
    model = batched_gather(axis=2)
    (sentence,) = repair_traps(model)
    assert "1 Gather operations on an inner axis were left" in sentence
    found = run_apart(model, [ROWS, np.array([[3, 0, 1, 1, 2]])], tmp_path)
    assert found is not None
    assert found.tolist() == ROWS[:, :, [3, 0, 1, 1, 2]].tolist()


def test_a_batched_gather_inside_a_loop_is_repaired() -> None:
    data, indices = ops.parameter([1, 10, 4], np.float32), ops.parameter([1, 5], I64)
    body = batched_gather()
    loop = ops.tensor_iterator()
    loop.set_body(body)
    loop.set_invariant_input(body.get_parameters()[0], data.output(0))
    loop.set_sliced_input(body.get_parameters()[1], indices.output(0), 0, 1, 1, -1, 0)
    found = loop.get_iter_value(body.get_results()[0].output(0), -1)
    model = ov.Model([ops.result(found)], [data, indices], "loop")
    assert "batch_dims: 1 Gather" in repair_traps(model)[0]
    kinds = {node.get_type_name() for node in loop.get_function().get_ops()}
    assert "GatherND" in kinds
    assert "Gather" not in kinds


Chain = Callable[[ov.Node], ov.Node]
CHAINS: dict[str, tuple[Chain, Callable[[int], int]]] = {
    "divided": (lambda n: ops.divide(n, constant(32)), lambda n: n // 32),
    "rounded up": (
        lambda n: ops.multiply(ops.divide(ops.add(n, constant(31)), constant(32)), constant(32)),
        lambda n: (n + 31) // 32 * 32,
    ),
    "divisor": (
        lambda n: ops.divide(constant(10**6), ops.add(n, constant(1))),
        lambda n: 10**6 // (n + 1),
    ),
}
REDUCTIONS: dict[str, tuple[Callable[..., ov.Node], Callable[[Sequence[int]], int]]] = {
    "min": (ops.reduce_min, min),
    "max": (ops.reduce_max, max),
    "sum": (ops.reduce_sum, sum),
}


def shape_arithmetic(reduction: str, chain: str) -> ov.Model:
    """Arithmetic on the height and width of the input, as shapes are prepared in many graphs."""
    image = ops.parameter([1, 3, -1, -1], np.float32)
    size = ops.gather(ops.shape_of(image, "i64"), constant(2, 3), constant(0))
    reduced = REDUCTIONS[reduction][0](size, constant(0), keep_dims=False)
    result = ops.result(CHAINS[chain][0](reduced))
    result.output(0).set_names({"size"})
    return ov.Model([result], [image], "sizes")


def sizes_found(model: ov.Model, precision: str) -> list[int]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return [int(compiled(np.zeros((1, 3, *hw), np.float32))["size"]) for hw in SIZES_HW]


SIZES_HW = [(480, 640), (427, 351), (800, 1333), (97, 131)]


@X86
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("chain", CHAINS)
def test_the_trap_of_shape_arithmetic(reduction: str, chain: str) -> None:
    right = [CHAINS[chain][1](REDUCTIONS[reduction][1](hw)) for hw in SIZES_HW]
    assert sizes_found(shape_arithmetic(reduction, chain), "f32") != right


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("chain", CHAINS)
def test_shape_arithmetic_is_repaired(reduction: str, chain: str, precision: str) -> None:
    model = shape_arithmetic(reduction, chain)
    (sentence,) = repair_traps(model)
    assert "shape arithmetic: 1 integer reductions" in sentence
    right = [CHAINS[chain][1](REDUCTIONS[reduction][1](hw)) for hw in SIZES_HW]
    assert sizes_found(model, precision) == right


def test_reductions_without_a_division_are_left_alone() -> None:
    image = ops.parameter([1, 3, -1, -1], np.float32)
    size = ops.reduce_max(ops.shape_of(image, "i64"), constant(0), keep_dims=False)
    as_f32 = ops.divide(ops.convert(size, "f32"), ops.constant(np.float32(32)))
    doubled = ops.multiply(size, constant(2))
    model = ov.Model([ops.result(as_f32), ops.result(doubled)], [image], "sound")
    count = len(model.get_ops())
    assert repair_traps(model) == ()
    assert len(model.get_ops()) == count


def scaled_to_480(*, by_size: bool = False, version: int = 11) -> ov.Model:
    """An image whose short side becomes 480 inside the graph, before a convolution."""
    image = ops.parameter([1, 3, -1, -1], np.float32)
    size = ops.gather(ops.shape_of(image, "i64"), constant(2, 3), constant(0))
    size = ops.convert(size, "f32")
    scale = ops.divide(np.float32(480), ops.reduce_min(size, constant(0), keep_dims=False))
    scales = ops.concat([ops.unsqueeze(scale, constant(0))] * 2, 0)
    sizes = ops.convert(ops.round(ops.multiply(size, scales), "half_to_even"), "i64")
    kind = "sizes" if by_size else "scales"
    if version == 11:
        resized = ops.interpolate(
            image, sizes if by_size else scales, "linear_onnx", kind, axes=constant(2, 3)
        )
    else:  # as in IRs of 2020 to 2023
        resized = _get_node_factory("opset4").create(
            "Interpolate",
            [image, sizes, scales, constant(2, 3)],
            {
                "mode": "linear_onnx",
                "shape_calculation_mode": kind,
                "pads_begin": [],
                "pads_end": [],
            },
        )
    weights = np.ones((4, 3, 3, 3), np.float32)
    found = ops.convolution(resized, weights, [1, 1], [1, 1], [1, 1], [1, 1])
    return ov.Model([ops.result(found)], [image], "resize")


def short_side(model: ov.Model, precision: str) -> int:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": precision})
    return int(compiled(np.zeros((1, 3, 800, 1344), np.float32))[0].shape[2])


@pytest.mark.skipif(
    "BF16" not in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"),
    reason="this CPU has no bf16",
)
def test_the_trap_of_a_computed_scale() -> None:
    assert short_side(scaled_to_480(), "f32") == 480
    assert short_side(scaled_to_480(), "bf16") != 480
    assert short_side(scaled_to_480(by_size=True), "bf16") == 480


@pytest.mark.parametrize("version", [4, 11])
def test_a_computed_scale_is_named(version: int) -> None:
    (sentence,) = repair_traps(scaled_to_480(version=version))
    assert "trap resize by a computed scale: 1 Interpolate" in sentence
    assert "--precision f32" in sentence


def test_a_resize_by_size_or_by_a_fixed_scale_is_sound() -> None:
    assert repair_traps(scaled_to_480(by_size=True)) == ()
    assert repair_traps(scaled_to_480(by_size=True, version=4)) == ()
    image = ops.parameter([1, 3, -1, -1], np.float32)
    doubled = ops.interpolate(
        image, np.array([2, 2], np.float32), "nearest", "scales", axes=constant(2, 3)
    )
    oldest = opset1.interpolate(image, constant(64, 64), {"axes": [2, 3], "mode": "nearest"})
    model = ov.Model([ops.result(doubled), ops.result(oldest)], [image], "upsample")
    assert repair_traps(model) == ()


def crops(boxes: np.ndarray) -> ov.Model:
    """CropAndResize as OpenVINO's TensorFlow reader writes it; boxes [N,5]: 0, x1, y1, x2, y2."""
    image = ops.parameter([1, 1, 37, 53], np.float32)
    found = ops.roi_pooling(image, ops.constant(boxes), [7, 7], 1.0, "bilinear")
    return ov.Model([ops.result(found)], [image], "crops")


def test_crops_at_the_border_are_named_and_stay_right() -> None:
    """A picture of ones has crops of ones; TensorFlow 2.21 gives a row of zeros for this box."""
    model = crops(np.array([[0, 0.4334845, 0.18413635, 0.53312117, 1.0]], np.float32))
    (sentence,) = repair_traps(model)
    assert "CropAndResize" in sentence
    assert "border" in sentence
    found = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        np.ones((1, 1, 37, 53), np.float32)
    )[0]
    assert found.tolist() == np.ones((1, 1, 7, 7)).tolist()


def trapped_detector() -> ov.Model:
    """A model-api detector whose labels and boxes come through both traps."""
    image = ops.parameter([1, 3, -1, -1], np.float32)
    image.output(0).set_names({"image"})
    size = ops.gather(ops.shape_of(image, "i64"), constant(2, 3), constant(0))
    padded = ops.multiply(
        ops.divide(
            ops.add(ops.reduce_max(size, constant(0), keep_dims=False), constant(31)), constant(32)
        ),
        constant(32),
    )
    table = np.array([[[0, 0, 1, 2, 0.5], [0, 0, 3, 4, 0.9]]], np.float32)
    zero = ops.multiply(ops.reduce_max(image, constant(0, 1, 2, 3), keep_dims=False), np.float32(0))
    rows = ops.add(ops.constant(table), zero)
    chosen = ops.add(constant(0, 1), ops.convert(zero, "i64"))
    picked = ops.gather(rows, ops.reshape(chosen, constant(1, 2), False), constant(1), batch_dims=1)
    boxes = ops.result(ops.squeeze(picked, constant(0)))
    boxes.output(0).set_names({"boxes"})
    label = ops.subtract(ops.multiply(chosen, constant(0)), ops.multiply(padded, constant(-1)))
    labels = ops.result(label)
    labels.output(0).set_names({"labels"})
    return ov.Model([boxes, labels], [image], "trapped")


def test_convert_repairs_and_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "labels.txt"
    names.write_text("\n".join(f"name {i}" for i in range(700)))
    source, target = tmp_path / "source.xml", tmp_path / "m.xml"
    ov.save_model(trapped_detector(), source, compress_to_fp16=False)
    command = ["convert", str(source), "-o", str(target), "--labels", str(names)]
    assert run([*command, "--resize", "none"]) == 0
    err = capsys.readouterr().err
    assert "trap Gather batch_dims: 1" in err
    assert "trap shape arithmetic: 1" in err
    raw, _ = Engine(target, device="CPU").infer(
        DecodedImage(np.zeros((480, 640, 3), np.uint8), 1, "")
    )
    assert raw.boxes[:, 2:4].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert raw.labels.tolist() == [640, 640]
    assert read_contract(ov.Core().read_model(target)).family == "model-api"
