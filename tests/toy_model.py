"""A tiny IR of the contract that finds the same instances in every image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from backend.runtime.contract import Label, MaskFrame, ModelContract, ResizeRule, write_contract

Instance = tuple[tuple[float, float, float, float], float, int]  # box in pixels, score, label


def toy_contract(
    labels: Sequence[str] = ("person", "car", "traffic light"),
    mask_frame: MaskFrame | None = "box",
    resize: str = "none",
    name: str = "toy",
) -> ModelContract:
    return ModelContract(
        name=name,
        labels=tuple(Label(i + 1, label) for i, label in enumerate(labels)),
        resize=ResizeRule.parse(resize),
        mask_frame=mask_frame,
        family="toy",
        source_format="test",
        source_digest="0",
        converter_version="0",
        precision="f32",
    )


def save_toy_model(
    path: Path,
    instances: Sequence[Instance],
    contract: ModelContract | None = None,
    masks: np.ndarray | None = None,
) -> Path:
    """Write an IR to `path`; `masks` f32 [N,h,w], by default full."""
    contract = contract or toy_contract()
    n = len(instances)
    image = ops.parameter([1, -1, -1, 3], np.uint8, name="image")
    image.output(0).set_names({"image"})
    boxes = np.array([[*box, score] for box, score, _ in instances], np.float32).reshape(n, 5)
    labels = np.array([label for *_, label in instances], np.int64)
    # The results depend on the image, so that nothing is folded away before inference.
    zero = ops.multiply(
        ops.reduce_max(ops.convert(image, "f32"), np.array([0, 1, 2, 3]), keep_dims=False),
        np.float32(0),
    )
    outputs = {"boxes": ops.add(ops.constant(boxes), zero)}
    outputs["labels"] = ops.add(ops.constant(labels), ops.convert(zero, "i64"))
    if contract.mask_frame is not None:
        if masks is None:
            masks = np.ones((n, 8, 8), np.float32)
        outputs["masks"] = ops.add(ops.constant(masks.astype(np.float32)), zero)
    results = []
    for name, node in outputs.items():
        result = ops.result(node)
        result.output(0).set_names({name})
        results.append(result)
    model = ov.Model(results, [image], contract.name)
    write_contract(model, contract)
    ov.save_model(model, path, compress_to_fp16=False)
    return path
