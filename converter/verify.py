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

from backend.runtime.engine import Engine, RawOutputs
from backend.runtime.errors import ConversionError, LabelvinoError
from backend.runtime.image import DecodedImage
from backend.runtime.self_test import SelfTest

# Two sizes, since graphs that were traced or folded for one size fail at another: one that 32
# divides, and one that nothing divides.
_SIZES_WH = ((640, 480), (427, 331))
_RANKS = {"boxes": (ov.Type.f32, 2), "labels": (ov.Type.i64, 1), "masks": (ov.Type.f32, 3)}


def verify(path: Path) -> list[float]:
    """Seconds of one inference at each of two image sizes, on the CPU.

    Raises LabelvinoError where the IR does not do what the contract promises.
    """
    engine = Engine(path, device="CPU")
    _check_ports(ov.Core().read_model(path), engine.contract.mask_frame is not None)
    noise = np.random.default_rng(0)
    seconds = []
    for width, height in _SIZES_WH:
        pixels = noise.integers(0, 256, (height, width, 3), np.uint8)
        started = time.perf_counter()
        raw, _ = engine.infer(DecodedImage(pixels, 1, ""))
        seconds.append(time.perf_counter() - started)
        _check_outputs(raw, f"for an image of {width}x{height}")
    return seconds


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


def _check_outputs(raw: RawOutputs, when: str) -> None:
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


def record_self_test(path: Path) -> SelfTest:
    """What the CPU finds in the test picture at f32. Raises LabelvinoError."""
    engine = Engine(path, device="CPU", precision="f32")
    return SelfTest.record(engine, Path(__file__).with_name("self_test.jpg").read_bytes())


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
