"""Source model -> a published IR that follows the contract."""

from __future__ import annotations

import datetime
import importlib.metadata
import resource
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import openvino as ov

from backend.runtime.contract import ModelContract
from backend.runtime.errors import ConversionError
from converter.clock import Clock
from converter.contracts import Adapted, Family, detect, family_named
from converter.contracts.lost_names import find_od_api, is_nameless
from converter.contracts.od_api import OdApi
from converter.facts import Wishes, gather_options, precision_of, score_threshold
from converter.fixed_size import fix_size
from converter.graph import describe_ports, name_output
from converter.labels import read_labels
from converter.ovc_options import apply_ovc_options
from converter.phases import heard_by
from converter.publish import Published, check_target, publish
from converter.sources import LoadOptions, SourceModel, load_source
from converter.sources.source import reason_of
from converter.traps import repair_traps
from converter.trial import answers_of
from converter.workplace import clean_up_after_killed

DEFAULT_TIMEOUT_S = 600.0


@dataclass(frozen=True)
class Conversion:
    """What a conversion did; `notes`: sentences on what was assumed or taken from the source.

    `seconds`: of each phase; `trial_peak_memory_bytes`: of the child process that tried the IR.
    """

    published: Published
    contract: ModelContract
    reason: str
    inputs: str
    outputs: str
    notes: tuple[str, ...]
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_bytes: int = 0
    trial_peak_memory_bytes: int = 0


def convert(
    source_path: Path,
    target: Path,
    wishes: Wishes,
    *,
    load: LoadOptions | None = None,
    compress_to_fp16: bool = True,
    force: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    phase: Callable[[str], None] = lambda _: None,
) -> Conversion:
    """Load, adapt, write, try, publish. `phase` hears each phase's name as it begins.

    Raises ConversionError or ContractError; nothing is left behind then.
    """
    clock = Clock(phase)
    left = clean_up_after_killed(target)
    check_target(target, force=force)
    clock.start("load")
    with heard_by(clock.start):
        source = load_source(source_path, load)
    clock.start("adapt")
    adapted, family, reason, notes = _adapt(source, wishes)
    if wishes.static_hw is not None:
        adapted = fix_size(adapted, *wishes.static_hw)
    notes = (*left, *notes, *repair_traps(adapted.model))
    contract = _contract(source, wishes, adapted, family, target.stem)
    published, contract = publish(
        adapted.model,
        contract,
        target,
        compress_to_fp16=compress_to_fp16,
        timeout_s=timeout_s,
        phase=clock.start,
    )
    peak, trial_peak = (
        resource.getrusage(who).ru_maxrss * 1024
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return Conversion(
        published=published,
        contract=contract,
        reason=reason,
        inputs=describe_ports(adapted.model.inputs),
        outputs=describe_ports(adapted.model.outputs),
        notes=notes,
        seconds=clock.stop(),
        peak_memory_bytes=peak,
        trial_peak_memory_bytes=trial_peak,
    )


def _adapt(source: SourceModel, wishes: Wishes) -> tuple[Adapted, str, str, tuple[str, ...]]:
    """The adapted model, its family, why that family, and the notes."""
    source = replace(source, model=apply_ovc_options(source.model, wishes.ovc))
    if wishes.family is not None:
        family, reason = family_named(wishes.family), "--family says so"
        fits, _ = family.recognise(source.model)
        if not fits and isinstance(family, OdApi) and is_nameless(source.model):
            _find_names(source.model, wishes)
    elif source.facts.family is not None:
        family, reason = family_named(source.facts.family), source.facts.family_reason
    else:
        family, reason = _detect(source.model, wishes)
    options, said = gather_options(source, family, wishes)
    try:
        adapted = family.adapt(source.model, options)
    except RuntimeError as error:  # OpenVINO's own, from the surgery
        raise ConversionError(
            f"{source.path} cannot be brought to the contract as {family.name}: "
            f"{reason_of(error)}: check --family, or export the model again."
        ) from error
    if adapted.mask_frame is None and wishes.mask_frame is not None:
        raise ConversionError("the model has no masks: leave out --mask-frame.")
    return adapted, family.name, reason, (*said, *adapted.assumed)


def _detect(model: ov.Model, wishes: Wishes) -> tuple[Family, str]:
    """By names and shapes, and by values where the names are lost."""
    try:
        return detect(model)
    except ConversionError:
        if not is_nameless(model):
            raise
    _find_names(model, wishes)
    family, reason = detect(model)
    return family, f"the values of its outputs for one picture say which is which: {reason}"


def _find_names(model: ov.Model, wishes: Wishes) -> None:
    """Name the outputs by what they hold. Raises ConversionError where that tells nothing."""
    ids = [label.id for label in read_labels(wishes.labels)] if wishes.labels else []
    for index, name in find_od_api(model, answers_of(model), ids).items():
        name_output(model, index, name)


def _contract(
    source: SourceModel, wishes: Wishes, adapted: Adapted, family: str, stem: str
) -> ModelContract:
    return ModelContract(
        name=wishes.name or stem,
        labels=adapted.labels,
        resize=adapted.resize,
        mask_frame=adapted.mask_frame,
        family=family,
        source_format=source.format,
        source_digest=source.digest,
        framework_version=source.framework_version,
        converter_version=importlib.metadata.version("labelvino"),
        converted_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        precision=precision_of(adapted.model),
        score_threshold=score_threshold(source, wishes),
    )
