"""Run a written IR once, as the backend would, and look at what comes out.

`python -m converter.verify FILE` does it in a process of its own: a plugin that crashes on a graph
takes only that process with it. It prints one JSON object: {"seconds": [..], "self_test": {..}} or
{"error": ".."}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import openvino as ov

from backend.runtime.contract import ResizeRule
from backend.runtime.engine import Engine, RawOutputs
from backend.runtime.errors import ConversionError, LabelvinoError
from backend.runtime.image import DecodedImage, decode_image
from backend.runtime.self_test import SelfTest

_RANKS = {"boxes": (ov.Type.f32, 2), "labels": (ov.Type.i64, 1), "masks": (ov.Type.f32, 3)}


def verify(path: Path) -> list[float]:
    """Seconds of one inference at each of two image sizes, on the CPU.

    Raises LabelvinoError where the IR does not do what the contract promises.
    """
    engine = Engine(path, device="CPU")
    contract = engine.contract
    _check_ports(ov.Core().read_model(path), contract.mask_frame is not None)
    noise = np.random.default_rng(0)
    seconds = []
    for width, height in trial_sizes_wh(contract.resize):
        pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
        started = time.perf_counter()
        raw, _ = engine.infer(DecodedImage(pixels, 1, ""))
        seconds.append(time.perf_counter() - started)
        check_outputs(raw, len(contract.labels), f"for an image of {width}x{height}")
    return seconds


def trial_sizes_wh(rule: ResizeRule) -> tuple[tuple[int, int], tuple[int, int]]:
    """Two image sizes, since graphs that were traced or folded for one size fail at another.

    The first becomes a model input that 32 divides, where the rule allows it; nothing divides the
    second, which stands upright. Pictures that models are traced with hardly have these sizes.
    """
    upright = (331, 427)
    if rule.kind != "shortest-edge":
        return (608, 416), upright
    wide = -(-rule.short * 5 // 4 // 32) * 32
    return (max(rule.short, min(wide, rule.long // 32 * 32)), rule.short), upright


def _check_ports(model: ov.Model, has_masks: bool) -> None:
    wanted = set(_RANKS) if has_masks else set(_RANKS) - {"masks"}
    found = {min(port.get_names()): port for port in model.outputs}
    if set(found) != wanted or any(len(port.get_names()) != 1 for port in model.outputs):
        raise ConversionError(f"the outputs are {sorted(found)}, not {sorted(wanted)}.")
    for name, port in found.items():
        kind, rank = _RANKS[name]
        shape = port.get_partial_shape()
        if port.get_element_type() != kind or (shape.rank.is_static and len(shape) != rank):
            raise ConversionError(
                f"the output {name} is {port.get_element_type().to_string()} {shape}, "
                f"not {kind.to_string()} with {rank} dimensions."
            )


def check_outputs(raw: RawOutputs, labels: int, when: str) -> None:
    """Shapes and values of the contract; `labels`: how many the list has.

    Raises ConversionError.
    """
    n = len(raw.boxes)
    if raw.boxes.shape != (n, 5) or raw.labels.shape != (n,):
        raise ConversionError(
            f"{when} boxes and labels have the shapes {raw.boxes.shape} and {raw.labels.shape}, "
            "not [N,5] and [N]."
        )
    if raw.masks is not None and (raw.masks.ndim != 3 or len(raw.masks) != n):
        raise ConversionError(f"{when} masks have the shape {raw.masks.shape}, not [{n},h,w].")
    if not np.isfinite(raw.boxes).all():
        raise ConversionError(f"{when} some boxes are not finite numbers.")
    _check_range(raw.labels, 0, labels - 1, f"{when} a label", "does --labels fit the model?")
    _check_range(raw.boxes[:, 4], 0, 1, f"{when} a score", "the model must give probabilities.")
    if raw.masks is not None:
        _check_range(raw.masks, 0, 1, f"{when} a mask", "the model must give probabilities.")


def _check_range(values: np.ndarray, low: int, high: int, what: str, remedy: str) -> None:
    slack = 0 if values.dtype.kind == "i" else 0.01  # bf16 rounds
    if values.size and not (values.min() >= low - slack and values.max() <= high + slack):
        raise ConversionError(
            f"{what} has the value {values.max() if values.max() > high else values.min():.6g}, "
            f"not one within {low}..{high}: {remedy}"
        )


def record_self_test(path: Path) -> SelfTest:
    """What the CPU finds in the test picture at f32. Raises LabelvinoError."""
    engine = Engine(path, device="CPU", precision="f32")
    picture = Path(__file__).with_name("self_test.jpg").read_bytes()
    raw, _ = engine.infer(decode_image(picture))
    check_outputs(raw, len(engine.contract.labels), "for the test picture")
    return SelfTest.record(engine, picture)


def main() -> int:
    """The command of the child process."""
    path = Path(sys.argv[1])
    try:
        answer = {"seconds": verify(path), "self_test": record_self_test(path).to_json()}
        print(json.dumps(answer))
    except LabelvinoError as error:
        print(json.dumps({"error": str(error)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
