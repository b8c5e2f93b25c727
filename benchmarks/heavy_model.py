"""An IR of a ResNet-50 detector's computing time that finds what a small model finds.

    python benchmarks/heavy_model.py SMALL.xml HEAVY.xml

The body of a ResNet-50 (He and others 2016) with seeded weights computes beside the small model on
the same image, resized to 800x1067 as Detectron2's Mask R-CNN has it; its mean, times nearly
nothing, is added to the boxes, so that no optimiser leaves it out and the detections stay.
"""

from __future__ import annotations

import sys

import numpy as np
import openvino as ov
from openvino import opset13 as op

HEIGHT, WIDTH = 800, 1067
STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))  # width, blocks


def main() -> None:
    small, heavy = sys.argv[1:3]
    model = ov.Core().read_model(small)
    image = model.input("image")
    boxes = model.output("boxes")
    source = boxes.get_node().input_value(0)
    hint = op.multiply(_body(image), np.float32(1e-30))
    changed = op.add(source, hint)
    changed.output(0).get_tensor().set_names(set(boxes.get_names()))
    source.get_tensor().set_names(set())
    boxes.get_node().input(0).replace_source_output(changed.output(0))
    model.validate_nodes_and_infer_types()
    ov.save_model(model, heavy, compress_to_fp16=True)


def _body(image: ov.Output) -> ov.Node:
    random = np.random.default_rng(50)
    nchw = op.transpose(op.convert(image, "f32"), np.array([0, 3, 1, 2]))
    x = op.interpolate(
        op.multiply(nchw, np.float32(1 / 255)),
        np.array([HEIGHT, WIDTH]),
        mode="linear_onnx",
        shape_calculation_mode="sizes",
        axes=np.array([2, 3]),
    )
    x = _convolution(random, x, 3, 64, 7, 2)
    x = op.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3]).output(0)
    channels = 64
    for stage, (width, blocks) in enumerate(STAGES):
        for block in range(blocks):
            stride = 2 if stage and block == 0 else 1
            y = _convolution(random, x, channels, width, 1, 1)
            y = _convolution(random, y, width, width, 3, stride)
            y = _convolution(random, y, width, 4 * width, 1, 1, relu=False)
            if block == 0:
                x = _convolution(random, x, channels, 4 * width, 1, stride, relu=False)
            x, channels = op.relu(op.add(x, y)), 4 * width
    return op.reduce_mean(x, np.array([0, 1, 2, 3]), keep_dims=False)


def _convolution(
    random: np.random.Generator,
    x: ov.Node | ov.Output,
    channels: int,
    filters: int,
    size: int,
    stride: int,
    *,
    relu: bool = True,
) -> ov.Node:
    spread = (2.0 / (channels * size * size)) ** 0.5
    weights = random.normal(0, spread, (filters, channels, size, size)).astype(np.float32)
    pad = [size // 2, size // 2]
    y = op.convolution(x, op.constant(weights), [stride, stride], pad, pad, [1, 1])
    y = op.add(y, op.constant(np.zeros((1, filters, 1, 1), np.float32)))
    return op.relu(y) if relu else y


if __name__ == "__main__":
    main()
