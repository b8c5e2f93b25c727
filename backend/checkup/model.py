"""The model: what it says of itself, one inference, and its self-test."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from backend.checkup.finding import Finding, attempt
from backend.runtime.engine import Engine, decode, load_contract, read_ir
from backend.runtime.errors import LabelvinoError
from backend.runtime.image import DecodedImage
from backend.runtime.self_test import SelfTest
from backend.serving import open_engine
from backend.settings import Settings, model_path

_WIDTH_PX, _HEIGHT_PX = 640, 480


def model_findings(settings: Settings) -> Iterator[Finding]:
    """The facts of the model, then one inference on the device of the settings."""
    if settings.model is None and settings.model_dir is None:
        reason = "no model is given: use --model or LABELVINO_MODEL."
        yield Finding("model", "unchecked", reason)
        yield Finding("inference", "unchecked", reason)
        return
    facts = attempt("model", lambda: _facts(settings))
    yield facts
    if facts.status == "problem":
        yield Finding("inference", "unchecked", "the model cannot be read.")
        return
    try:
        engine = open_engine(settings)
    except LabelvinoError as error:
        yield Finding("inference", "problem", str(error))
        return
    yield attempt("inference", lambda: _inference(engine))
    yield attempt("self-test", lambda: _self_test(engine))


def _facts(settings: Settings) -> Finding:
    contract = load_contract(model_path(settings))
    kind = f"masks ({contract.mask_frame})" if contract.mask_frame else "boxes only"
    text = (
        f"{contract.name}: {contract.family}, {len(contract.labels)} labels, {kind}, weights in "
        f"{contract.precision}, threshold {contract.score_threshold:g}"
    )
    return Finding("model", "ok", text)


def _inference(engine: Engine) -> Finding:
    began_s = time.monotonic()
    raw, geometry = engine.infer(_picture())
    took_ms = (time.monotonic() - began_s) * 1000
    where = f"{', '.join(engine.execution_devices)} in {engine.precision}"
    numbers = [raw.boxes] if raw.masks is None else [raw.boxes, raw.masks]
    if not all(np.isfinite(each).all() for each in numbers):
        text = (
            f"{where} gives numbers that are not finite: use --precision f32, or another --device."
        )
        return Finding("inference", "problem", text)
    found = len(decode(raw, geometry, engine.contract, engine.contract.score_threshold).scores)
    text = (
        f"one generated picture of {_WIDTH_PX}x{_HEIGHT_PX} on {where}: {took_ms:.0f} ms, "
        f"{found} detections"
    )
    return Finding("inference", "ok", text)


def _self_test(engine: Engine) -> Finding:
    test = SelfTest.read(read_ir(engine.model_path))
    if test is None:
        return Finding("self-test", "unchecked", "the model has none: convert it again.")
    return Finding("self-test", "ok", test.run(engine).partition(": ")[2])


def _picture() -> DecodedImage:
    """Noise on a slope of grey: enough to keep every layer busy, the same each time."""
    slope = np.linspace(0, 200, _WIDTH_PX)[None, :, None]
    noise = np.random.default_rng(0).integers(0, 55, (_HEIGHT_PX, _WIDTH_PX, 3))
    return DecodedImage((slope + noise).astype(np.uint8), 1, "")
