"""ovc's options: each is seen in what comes out, and nonsense is one clear line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from openvino import opset13 as ops
from toy_sources import od_api_model, seeing_model

from backend.runtime.engine import Engine, read_ir
from backend.runtime.errors import ConversionError
from backend.runtime.image import DecodedImage
from converter.cli import run
from converter.ovc_options import OvcOptions, apply_ovc_options, parse_shape

PIXEL = (200, 20, 10)
PHOTO = DecodedImage(np.full((32, 64, 3), PIXEL, np.uint8), 1, "")


def saved(model: ov.Model, folder: Path) -> str:
    path = folder / "source.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return str(path)


def convert(source: str, *options: str) -> Engine:
    target = Path(source).with_name("m.xml")
    command = ["convert", source, "-o", str(target), "--labels", "coco80", "--force"]
    assert run([*command, "--no-compress-to-fp16", *options]) == 0
    return Engine(target, device="CPU", precision="f32")


def first_pixel(engine: Engine) -> list[float]:
    """The first pixel as the graph sees it."""
    raw, _ = engine.infer(PHOTO)
    found: list[float] = raw.boxes[0, :3].tolist()
    return found


# --- input shapes


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        (["--input-shape", "[1,3,32,64]"], "[1,32,64,3]"),
        (["--input", "image[1,3,32,64]"], "[1,32,64,3]"),
        (["--input", "image", "--input-shape", "1,3,32,64"], "[1,32,64,3]"),
        (["--input", "[1,3,32,64]"], "[1,32,64,3]"),
        (["--input-shape", "[1,3,?,-1]", "--resize", "none"], "[1,?,?,3]"),
        (
            ["--input-shape", "[1,3,16..64,..96]", "--resize", "shortest-edge:32:64"],
            "[1,16..64,..96,3]",
        ),
        (["--input-shape", "[1,3,32..,64]", "--resize", "fit:64x32"], "[1,32..,64,3]"),
        (["--input-shape", "[?,3,32,64]"], "[1,32,64,3]"),
    ],
)
def test_the_input_has_the_shape(options: list[str], shape: str, tmp_path: Path) -> None:
    resize = [] if "--resize" in options else ["--resize", "fit:64x32"]
    engine = convert(saved(seeing_model(), tmp_path), *options, *resize)
    assert str(read_ir(engine.model_path).input("image").partial_shape) == shape
    raw, _ = engine.infer(PHOTO)
    assert raw.boxes[0, 3] == 32  # the height that the graph sees


def test_a_shape_for_one_that_is_fixed(tmp_path: Path) -> None:
    source = saved(od_api_model([((0, 0, 1, 0.5), 0.9, 1)], shape=(1, 480, 640, 3)), tmp_path)
    engine = convert(source, "--input-shape", "[1,32,64,3]")
    assert str(engine.contract.resize) == "stretch:64x32"
    assert engine.detect(PHOTO).boxes_xyxy_px.tolist() == [[0, 0, 32, 32]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("[1,3,480,640]", "[1,3,480,640]"),
        ("1,3,?,-1", "[1,3,?,?]"),
        ("[1, 3, 320..1024, ..1024]", "[1,3,320..1024,..1024]"),
        ("[1,3,320..,640]", "[1,3,320..,640]"),
    ],
)
def test_shapes(text: str, shape: str) -> None:
    assert str(parse_shape(text)) == shape


@pytest.mark.parametrize(
    "text", ["", "[]", "[1,3", "1,3]", "[1,a]", "[1,0]", "[1,..]", "[5..2]", "[1,-2]", "[1.5]"]
)
def test_shapes_that_make_no_sense(text: str) -> None:
    with pytest.raises(ConversionError, match=r"the shape .* (not understood|lacks a bracket)"):
        parse_shape(text)


# --- layout


def any_layout(shape: tuple[int, ...]) -> ov.Model:
    """One box (c0, c1, c2, 0): along the axis of the input whose layout nothing tells."""
    image = ops.parameter(ov.PartialShape(list(shape)), np.float32)
    image.output(0).set_names({"image"})
    axes = [2, 3] if shape[1] == 3 else [1, 2]
    means = ops.reduce_mean(image, np.array([0, *axes]), keep_dims=False)
    row = ops.concat([means, ops.constant([0.0, 0.5], np.float32)], 0)
    boxes = ops.result(ops.reshape(row, np.array([1, 5]), special_zero=False))
    boxes.output(0).set_names({"boxes"})
    zero = ops.multiply(ops.reduce_max(image, np.array([0, 1, 2, 3])), np.float32(0))
    labels = ops.result(ops.convert(ops.reshape(zero, np.array([1]), special_zero=False), "i64"))
    labels.output(0).set_names({"labels"})
    return ov.Model([boxes, labels], [image], "any")


def test_a_layout_that_the_shape_does_not_tell(tmp_path: Path) -> None:
    source = saved(any_layout((1, 3, 3, 3)), tmp_path)
    options = ["--resize", "stretch:3x3", "--color-order", "rgb"]
    assert (
        run(["convert", source, "-o", str(tmp_path / "n.xml"), "--labels", "coco80", *options]) == 1
    )
    for layout in ("nchw", "[N,C,H,W]", "NCHW", "image(nchw)"):
        engine = convert(source, *options, "--layout", layout)
        np.testing.assert_allclose(first_pixel(engine), PIXEL, atol=1e-3)


@pytest.mark.parametrize(
    ("layout", "reason"),
    [
        ("nhwc->nchw", "write nchw or nhwc alone"),
        ("nxyz", "not understood"),
        ("nhwc", "cannot have the layout nhwc"),
        ("data(nchw)", "no input 'data'"),
    ],
)
def test_layouts_that_make_no_sense(layout: str, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        apply_ovc_options(seeing_model((1, 3, 8, 6)), OvcOptions(layout=layout))


# --- pixels


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        (["--color-order", "rgb"], [200, 20, 10]),
        (["--reverse-input-channels"], [10, 20, 200]),
        (["--reverse-input-channels", "--mean-values", "[1,2,3]"], [9, 18, 197]),
        (["--color-order", "rgb", "--mean-values", "100", "--scale-values", "2"], [50, -40, -45]),
        (["--color-order", "rgb", "--scale-values", "10,4,2"], [20, 5, 5]),
    ],
)
def test_the_graph_sees(options: list[str], seen: list[float], tmp_path: Path) -> None:
    engine = convert(saved(seeing_model(), tmp_path), "--resize", "none", *options)
    assert first_pixel(engine) == seen


def test_channels_cannot_be_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = saved(seeing_model(), tmp_path)
    options = ["--reverse-input-channels", "--color-order", "rgb"]
    assert run(["convert", source, "-o", str(tmp_path / "m.xml"), *options]) == 2
    assert "contradicts" in capsys.readouterr().err


# --- outputs


def test_outputs_are_chosen_and_named(tmp_path: Path) -> None:
    model = od_api_model([((0, 0, 1, 0.5), 0.9, 1), ((0, 0.5, 1, 1), 0.8, 3)])
    for result in model.get_results():
        (name,) = result.output(0).get_names()
        result.output(0).set_names({f"part/{name}"})
    source = saved(model, tmp_path)
    names = [f"detection_{n}=part/detection_{n}" for n in ("boxes", "scores", "classes")]
    chosen = ",".join([*names, "num_detections=part/num_detections"])
    engine = convert(source, "--output", chosen)
    assert engine.contract.mask_frame is None
    assert engine.detect(PHOTO).boxes_xyxy_px.tolist() == [[0, 0, 32, 32], [32, 0, 64, 32]]
    engine = convert(source, "--output", f"{chosen},detection_masks=part/detection_masks:0")
    assert engine.contract.mask_frame == "box"


def test_of_two_candidates_one_is_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = seeing_model()
    (boxes,) = [r for r in model.get_results() if "boxes" in r.output(0).get_names()]
    other = ops.result(ops.multiply(boxes.input_value(0), np.float32(2)))
    other.output(0).set_names({"dets"})
    model.add_results([other])
    source = saved(model, tmp_path)
    options = ["--resize", "none", "--color-order", "rgb", "--mean-values", "0"]
    command = ["convert", source, "-o", str(tmp_path / "n.xml"), "--labels", "coco80", *options]
    assert run(command) == 1
    assert "boxes and dets could both be the boxes" in capsys.readouterr().err
    assert first_pixel(convert(source, *options, "--output", "boxes,labels")) == list(PIXEL)
    twice = [2 * value for value in PIXEL]
    assert first_pixel(convert(source, *options, "--output", "labels,dets")) == twice


def test_outputs_may_swap_their_names() -> None:
    model = apply_ovc_options(seeing_model(), OvcOptions(output="labels=boxes,boxes=labels"))
    assert [str(port.get_partial_shape()) for port in model.outputs] == ["[1,5]", "[1]"]
    assert ["labels" in port.get_names() for port in model.outputs] == [True, False]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (OvcOptions(output="boxes,"), "empty name"),
        (OvcOptions(output="nothing"), "no output 'nothing': it has boxes"),
        (OvcOptions(output="a=boxes,a=labels"), "the name 'a' twice"),
        (OvcOptions(input="data"), "no input 'data': it has image"),
        (OvcOptions(input=""), "not understood"),
        (OvcOptions(input="a[1,3,8,6],b[1]"), "not understood"),
        (OvcOptions(input="image[1,3,8,6]", input_shape="[1,3,8,6]"), "leave out --input-shape"),
        (OvcOptions(input_shape="[1,3,8]"), "wrong number of sides: give 4"),
    ],
)
def test_nonsense(options: OvcOptions, reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        apply_ovc_options(seeing_model((1, 3, -1, -1)), options)


def test_a_shape_that_the_graph_cannot_have() -> None:
    with pytest.raises(ConversionError, match=r"cannot have the input shape .1,4,8,6."):
        apply_ovc_options(any_layout((1, 3, 8, 6)), OvcOptions(input_shape="[1,4,8,6]"))


@pytest.mark.parametrize("rule", ["none", "shortest-edge:32:128", "shortest-edge:8:64"])
def test_a_range_that_the_images_would_leave(
    rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = saved(seeing_model(), tmp_path)
    options = ["--labels", "coco80", "--input-shape", "[1,3,16..64,..96]", "--resize", rule]
    assert run(["convert", source, "-o", str(tmp_path / "m.xml"), *options]) == 1
    assert f"--resize {rule} does not fit the model's input" in capsys.readouterr().err


def test_compress_to_fp16(tmp_path: Path) -> None:
    model = seeing_model()
    (boxes,) = [r for r in model.get_results() if "boxes" in r.output(0).get_names()]
    weights = np.zeros((5, 5000), np.float32)
    extra = ops.matmul(boxes.input_value(0), weights, transpose_a=False, transpose_b=False)
    nothing = ops.reduce_max(extra, np.array([0, 1]), keep_dims=False)
    boxes.input(0).replace_source_output(ops.add(boxes.input_value(0), nothing).output(0))
    source = saved(model, tmp_path)
    sizes = {}
    for option in ("--compress-to-fp16", "--no-compress-to-fp16"):
        target = tmp_path / f"{option}.xml"
        command = ["convert", source, "-o", str(target), "--labels", "coco80", "--resize", "none"]
        assert run([*command, option]) == 0
        sizes[option] = target.with_suffix(".bin").stat().st_size
    assert 1.9 < sizes["--no-compress-to-fp16"] / sizes["--compress-to-fp16"] < 2.1
