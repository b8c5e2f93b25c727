"""An IR of ours -> the same in INT8, by NNCF after training, if it is still as good."""

from __future__ import annotations

import datetime
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import openvino as ov

from backend.runtime.contract import ModelContract, ir_digest, read_contract
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, read_ir
from backend.runtime.errors import AccuracyError, ConversionError
from converter.calibration import Counter, Photos
from converter.clock import Clock
from converter.ground_truth import GroundTruth
from converter.nncf_run import AccuracyControl, Preset, load_nncf, run_nncf
from converter.publish import Published, check_target, publish
from converter.quantization_check import Kept, MaskAp, detect_all, kept_of
from converter.quantization_scope import Scope, eight_bit_layers, scope_of
from converter.workplace import clean_up_after_killed

DEFAULT_MIN_AGREEMENT = 0.95
DEFAULT_SUBSET_SIZE = 300


@dataclass(frozen=True)
class QuantizeOptions:
    """`keep`: as `scope_of` has it; `min_agreement`: of `Kept.share`, 0..1.

    `truth`: with it, mask AP on the photos that check may fall by `max_drop` at most, and layers go
    back to floating point until it does.
    """

    preset: Preset = "mixed"
    keep: tuple[str, ...] = ()
    min_agreement: float = DEFAULT_MIN_AGREEMENT
    truth: GroundTruth | None = None
    max_drop: float = 0.01
    name: str | None = None


@dataclass(frozen=True)
class Quantization:
    """What was done. `average_precision`: of the parent and of the result, where there is truth.

    `layers`: those in INT8; fewer than the scope allows where some went back.
    """

    published: Published
    contract: ModelContract
    scope: Scope
    layers: int
    photos: Photos
    kept: Kept
    parent_bytes: int
    average_precision: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)


def quantize(
    source: Path,
    target: Path,
    photos: Photos,
    options: QuantizeOptions,
    *,
    force: bool = False,
    timeout_s: float = 600.0,
    phase: Callable[[str], None] = lambda _: None,
    count: Counter = lambda _done, _all: None,
) -> Quantization:
    """Measure, quantise, try, compare with the parent, publish.

    `phase` hears each phase's name as it begins, `count` of each photo in it. Raises
    ContractError for an IR that is not ours, AccuracyError for a result that lost too much, and
    ConversionError or ImageError; nothing is left behind then.
    """
    clock = Clock(phase)
    notes = clean_up_after_killed(target)
    check_target(target, force=force)
    if target.exists() and target.samefile(source):
        raise ConversionError(f"{target} is the model itself: choose another output.")
    load_nncf()
    clock.start("load")
    model = read_ir(source)
    parent = read_contract(model, source)
    if parent.precision == "int8":
        raise ConversionError(f"{source} is in INT8 already: quantise the model it was made from.")
    scope = scope_of(model, options.keep)
    clock.start("parent")
    before = detect_all(_engine(source), photos.check, count)
    measure = None
    if options.truth is not None:
        measure = MaskAp(options.truth, photos.check, parent)
    control = _control(measure, options)
    clock.start("calibrate")
    quantised = run_nncf(
        model,
        photos.calibration,
        parent.resize,
        scope,
        options.preset,
        control=control,
        count=count,
    )
    judge = _Judge(photos.check, before, options, measure, clock, count)
    published, contract = publish(
        quantised,
        _facts(parent, source, options),
        target,
        compress_to_fp16=False,  # what is left in floating point keeps the parent's size
        timeout_s=timeout_s,
        phase=clock.start,
        check=judge,
    )
    return Quantization(
        published=published,
        contract=contract,
        scope=scope,
        layers=eight_bit_layers(quantised),
        photos=photos,
        kept=judge.kept,
        parent_bytes=source.stat().st_size + source.with_suffix(".bin").stat().st_size,
        average_precision=judge.average_precision,
        notes=notes,
        seconds=clock.stop(),
    )


def _engine(xml: Path) -> Engine:
    return Engine(xml, device="CPU", precision="f32")


def _control(measure: MaskAp | None, options: QuantizeOptions) -> AccuracyControl | None:
    if measure is None:
        return None
    return AccuracyControl(measure.of_compiled, options.max_drop, measure.photos)


def _facts(parent: ModelContract, source: Path, options: QuantizeOptions) -> ModelContract:
    return replace(
        parent,
        name=options.name or parent.name,
        precision="int8",
        parent_digest=ir_digest(source),
        converter_version=importlib.metadata.version("labelvino"),
        converted_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


class _Judge:
    """Compares a written IR with the parent, on photos that did not calibrate."""

    def __init__(
        self,
        photos: Sequence[Path],
        before: Sequence[Detections],
        options: QuantizeOptions,
        measure: MaskAp | None,
        clock: Clock,
        count: Counter,
    ) -> None:
        self._photos = photos
        self._before = before
        self._options = options
        self._measure = measure
        self._clock = clock
        self._count = count
        self.kept = Kept()
        self.average_precision: tuple[float, float] | None = None

    def __call__(self, xml: Path) -> None:
        """Raises AccuracyError."""
        self._clock.start("check")
        after = detect_all(_engine(xml), self._photos, self._count)
        kept = self.kept = kept_of(zip(self._before, after, strict=True))
        wanted = self._options.min_agreement
        if wanted and not kept.parent:
            raise AccuracyError(
                f"the parent finds nothing above 0.5 in the {kept.images} images that check the "
                "result, so that nothing can be compared, and nothing was written: give images of "
                "what it knows, or --min-agreement 0."
            )
        if kept.share < wanted:
            raise AccuracyError(
                f"the INT8 model agrees with its parent on {kept.share:.1%} of the instances above "
                f"0.5, less than {wanted:.1%} (--min-agreement): of the parent's {kept.parent} it "
                f"finds {kept.parent_kept}, of its own {kept.own} the parent finds "
                f"{kept.own_kept}, on {kept.images} images; nothing was written. Calibrate with "
                "more images, leave layers out with --ignored-scope, or use --annotations."
            )
        if self._measure is None:
            return
        one, other = (self._measure.of(dict(enumerate(found))) for found in (self._before, after))
        self.average_precision = (one, other)
        if one - other > self._options.max_drop:
            raise AccuracyError(
                f"average precision falls from {one:.4f} to {other:.4f}, by more than "
                f"{self._options.max_drop:g} (--max-drop); nothing was written. Calibrate with "
                "more images, or allow more."
            )


def check_model(source: Path, keep: Sequence[str]) -> tuple[ov.Model, Scope]:
    """A model and its scope, without quantising it. Raises ContractError or ConversionError."""
    model = read_ir(source)
    read_contract(model, source)
    return model, scope_of(model, keep)
