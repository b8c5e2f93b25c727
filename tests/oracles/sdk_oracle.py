"""label_studio_sdk's answers, for tests that run where the SDK is not installed.

Run by the SDK's own Python. One question a line on stdin, one answer a line on stdout, both JSON:

    {"op": "validate", "config": xml, "prediction": {...}} -> {"errors": ["..."]}
    {"op": "encode", "width": w, "height": h, "mask": m}   -> {"rle": [int, ...]}
    {"op": "decode", "rle": [int, ...]}                    -> {"bytes": b}
    {"op": "version"}                                      -> {"version": "2.1.2"}

`m` is base64 of numpy.packbits over the mask's rows; `b` is base64 of the RGBA bytes, row by row.
A question that the SDK cannot answer gives {"raised": "Type: words"}.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from functools import lru_cache
from importlib.metadata import version
from typing import Any

import numpy as np
from label_studio_sdk.converter import brush
from label_studio_sdk.label_interface import LabelInterface


@lru_cache(maxsize=64)
def interface(config: str) -> LabelInterface:
    return LabelInterface(config)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    op = question["op"]
    if op == "validate":
        checked = interface(question["config"])
        return {"errors": checked.validate_prediction(question["prediction"], return_errors=True)}
    if op == "encode":
        width, height = question["width"], question["height"]
        packed = np.frombuffer(base64.b64decode(question["mask"]), np.uint8)
        mask = np.unpackbits(packed, count=width * height)
        return {"rle": brush.encode_rle(np.repeat(mask * np.uint8(255), 4))}
    if op == "decode":
        decoded = brush.decode_rle(question["rle"])
        return {"bytes": base64.b64encode(decoded.tobytes()).decode()}
    if op == "version":
        return {"version": version("label-studio-sdk")}
    raise ValueError(f"unknown op {op!r}")


def main() -> None:
    # Whatever the SDK prints must not stand between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(json.loads(line))
        except Exception as error:  # noqa: BLE001 - the asker decides what it means
            reply = {"raised": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(reply) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
