"""Does this device compute what the converter saw? One small picture tells.

Devices have given garbage without an error (GPUs on dynamic shapes). The converter stores a picture
and what the CPU found in it at f32, in `rt_info` under `model_info`; whoever is to serve the model
looks at the picture again on the chosen device. Reduced precision moves boxes and scores a little,
so that only what is clear is compared, and loosely.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass

import numpy as np
import openvino as ov

from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.errors import ContractError, DeviceError
from backend.runtime.image import decode_image

_RT_INFO = ["model_info", "labelvino_self_test"]
_CLEAR_SCORE = 0.5
_LOWEST_SCORE = 0.25  # what is clear here must at least be this clear there
_LEAST_OVERLAP = 0.5
_LEAST_SHARE = 0.6
_STORED = 20


@dataclass(frozen=True)
class Seen:
    """One instance: index into the label list, score, box in pixels of the picture."""

    label: int
    score: float
    box_xyxy_px: tuple[float, float, float, float]


@dataclass(frozen=True)
class SelfTest:
    """`picture`: bytes of an image file; `seen`: what the converter found in it, best first."""

    picture: bytes
    seen: tuple[Seen, ...]

    @classmethod
    def record(cls, engine: Engine, picture: bytes) -> SelfTest:
        """Look at the picture with an engine that computes in f32. Raises InferenceError."""
        return cls(picture, _seen(engine.detect(decode_image(picture)))[:_STORED])

    @classmethod
    def read(cls, model: ov.Model) -> SelfTest | None:
        """The self-test of an IR, None where it has none. Raises ContractError if damaged."""
        if not model.has_rt_info(_RT_INFO):
            return None
        return cls.from_json(model.get_rt_info(_RT_INFO).astype(str))

    def write(self, model: ov.Model) -> None:
        """Put it into the model's `rt_info`."""
        model.set_rt_info(self.to_json(), _RT_INFO)

    def to_json(self) -> str:
        seen = [[one.label, one.score, *one.box_xyxy_px] for one in self.seen]
        picture = base64.b64encode(self.picture).decode()
        return json.dumps({"picture": picture, "seen": seen}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> SelfTest:
        """Raises ContractError for a damaged text."""
        try:
            stored = json.loads(text)
            seen = tuple(
                Seen(int(label), float(score), (float(a), float(b), float(c), float(d)))
                for label, score, a, b, c, d in stored["seen"]
            )
            return cls(base64.b64decode(stored["picture"], validate=True), seen)
        except (ValueError, KeyError, TypeError) as error:
            raise ContractError(
                f"the model's self-test is damaged ({error}): convert the model again."
            ) from error

    def run(self, engine: Engine) -> str:
        """Look again with this engine; returns one line on what was compared.

        Raises DeviceError where the device finds other things than the converter did.
        """
        now = _seen(engine.detect(decode_image(self.picture)))
        missing = _without_partner(self.seen, now)
        new = _without_partner(now, self.seen)
        clear = _clear(self.seen) + _clear(now)
        share = 1.0 - (missing + new) / clear if clear else 1.0
        if share < _LEAST_SHARE:
            raise DeviceError(
                f"device '{engine.device}' in {engine.precision} does not compute what the "
                f"converter saw in the self-test: of {_clear(self.seen)} clear instances {missing} "
                f"are missing, and {new} are new; use another --device or --precision, or convert "
                "the model with --static HEIGHT WIDTH."
            )
        return f"self-test: {_clear(self.seen)} clear instances, {missing} missing, {new} new"


def _seen(found: Detections) -> tuple[Seen, ...]:
    boxes = found.boxes_xyxy_px.astype(np.float64).round(2).tolist()
    return tuple(
        Seen(label, round(score, 4), (box[0], box[1], box[2], box[3]))
        for label, score, box in zip(
            found.labels.tolist(), found.scores.tolist(), boxes, strict=True
        )
    )


def _clear(seen: tuple[Seen, ...]) -> int:
    return sum(one.score >= _CLEAR_SCORE for one in seen)


def _without_partner(clear: tuple[Seen, ...], others: tuple[Seen, ...]) -> int:
    """How many clear instances of the first have no like in the second."""
    candidates = [other for other in others if other.score >= _LOWEST_SCORE]
    return sum(
        not any(
            one.label == other.label
            and _overlap(one.box_xyxy_px, other.box_xyxy_px) >= _LEAST_OVERLAP
            for other in candidates
        )
        for one in clear
        if one.score >= _CLEAR_SCORE
    )


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return float(shared / max(np.sum(areas) - shared, 1e-9))
