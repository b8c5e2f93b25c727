"""The only module that imports NNCF: quiet, without its messages to a server, without its bars."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.contract import ResizeRule
from backend.runtime.errors import ConversionError
from backend.runtime.resize import resize_image
from converter.calibration import Counter, read_photo
from converter.quantization_scope import Scope

Preset = Literal["performance", "mixed"]

Metric = Callable[[ov.CompiledModel, list[int]], tuple[float, list[float]]]
"""A compiled model and positions of photos -> its figure on them all, and on each; higher is
better."""


@dataclass(frozen=True)
class AccuracyControl:
    """Layers go back to floating point until `metric` falls by `max_drop` at most.

    `photos`: how many the metric can look at.
    """

    metric: Metric
    max_drop: float
    photos: int


def load_nncf() -> ModuleType:
    """Raises ConversionError with the remedy where NNCF is not installed.

    NNCF reports its use by the sender of OpenVINO's, which backend.runtime has blocked; it takes a
    stub that does nothing then.
    """
    try:
        import nncf
    except ImportError as error:
        raise ConversionError(
            f"quantising needs NNCF, which is not here ({error}): install labelvino[quantize]."
        ) from error
    nncf.set_log_level(logging.ERROR)
    return nncf  # type: ignore[no-any-return]


def run_nncf(
    model: ov.Model,
    photos: Sequence[Path],
    rule: ResizeRule,
    scope: Scope,
    preset: Preset,
    *,
    control: AccuracyControl | None = None,
    count: Counter = lambda _done, _all: None,
) -> ov.Model:
    """The model with INT8 layers. `count` hears of each photo that is looked at.

    Raises ConversionError, or ImageError for a photo that cannot be read.
    """
    nncf = load_nncf()
    done = 0

    def tensor(path: Path) -> dict[str, npt.NDArray[np.uint8]]:
        nonlocal done
        done += 1
        count(min(done, len(photos)), len(photos))
        return {"image": resize_image(read_photo(path), rule)[0]}

    calibration = nncf.Dataset(list(photos), tensor)
    options: dict[str, Any] = {
        "subset_size": len(photos),
        "preset": nncf.QuantizationPreset(preset),
        "ignored_scope": nncf.IgnoredScope(names=list(scope.ignored), validate=False),
    }
    with _quiet(), _clear_errors(nncf):
        if control is None:
            quantised = nncf.quantize(model, calibration, **options)
        else:
            quantised = nncf.quantize_with_accuracy_control(
                model,
                calibration_dataset=calibration,
                validation_dataset=nncf.Dataset(list(range(control.photos))),
                validation_fn=lambda compiled, chosen: control.metric(compiled, list(chosen)),
                max_drop=control.max_drop,
                drop_type=nncf.DropType.ABSOLUTE,
                **options,
            )
    assert isinstance(quantised, ov.Model)  # noqa: S101 - what went in comes out
    return quantised


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Its bars go to stdout, which is for data."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _clear_errors(nncf: ModuleType) -> Iterator[None]:
    try:
        yield
    except (
        RuntimeError,  # OpenVINO's
        nncf.InternalError,
        nncf.ParameterNotSupportedError,
        nncf.UnsupportedModelError,
        nncf.ValidationError,
    ) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise ConversionError(
            f"NNCF cannot quantise this model: {lines[-1] if lines else 'no reason given'} (leave "
            "out what it names with --ignored-scope)."
        ) from error
