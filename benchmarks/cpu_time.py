"""Processor time of two models, for a machine that others use too: the time that they do not take.

`python benchmarks/cpu_time.py A.xml B.xml PHOTOS [COUNT]`: both models on one thread, in turns, the
same photos; the median and the middle 80 % of the ratios A/B of an image, at f32 and at bf16.
"""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import numpy as np
import openvino as ov

from backend.runtime.engine import load_contract
from backend.runtime.resize import resize_image
from converter.calibration import photos_of, read_photo


def main() -> None:
    models = [Path(text) for text in sys.argv[1:3]]
    photos = photos_of(Path(sys.argv[3]))[: int(sys.argv[4]) if len(sys.argv) > 4 else 16]
    rule = load_contract(models[0]).resize
    tensors = [resize_image(read_photo(photo), rule)[0] for photo in photos]
    for precision in (ov.Type.f32, ov.Type.bf16):
        config = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
        compiled = [ov.Core().compile_model(model, "CPU", config) for model in models]
        requests = [model.create_infer_request() for model in compiled]
        for request, tensor in itertools.product(requests, tensors[:2]):
            request.infer({"image": tensor})
        times = np.array(
            [[_seconds(request, tensor) for request in requests] for tensor in tensors]
        )
        ratios = times[:, 0] / times[:, 1]
        low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
        each = ", ".join(f"{1000 * value:.0f} ms" for value in np.median(times, axis=0))
        print(f"{precision}: {each}; A/B {middle:.2f} ({low:.2f} to {high:.2f})", flush=True)


def _seconds(request: ov.InferRequest, tensor: np.ndarray) -> float:
    began = time.process_time()
    request.infer({"image": tensor})
    return time.process_time() - began


if __name__ == "__main__":
    main()
