"""Is an IR what its source is? Both run on the same pixels, and what they find is matched."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from backend.runtime.contract import ModelContract
from backend.runtime.engine import Engine
from backend.runtime.errors import MeasurementError
from backend.runtime.image import DecodedImage
from backend.runtime.resize import ResizeGeometry, resize_image
from converter.agreement import Agreement
from converter.calibration import read_photo
from converter.contracts import Family, detect, family_named
from converter.facts import Wishes, preprocessing_said
from converter.match import DEFAULT_MIN_SCORE, Matching, Side, match
from converter.reference import Framework, Reference, open_reference
from converter.reference.pixels import preprocessing_of, source_inputs
from converter.reference.probes import ProbedIr, TensorGap, gap_of
from converter.reference.reference import Array
from converter.reference.rows import source_rows
from converter.sources import LoadOptions, SourceModel, load_source

Progress = Callable[[str, int, int], None]
"""Hears what is done, how many are done, and of how many."""
_PROBED_IMAGES = 4  # dense tensors of more say the same again
# Networks with near-ties among proposals, stored as FP16, move one box in ten by many pixels.
THREE_OF_FOUR = 0.75


@dataclass(frozen=True)
class Limits:
    """What must hold for the verdict at f32.

    `min_matched`: share of the instances of both sides that are matched. The others hold for three
    of four matched instances; those of masks, where boxes agree within `max_box_px`. `max_tensor`:
    difference of the tensors before selection, as a share of their range, for 99.9 % of the
    elements.
    """

    min_matched: float = 0.98
    max_box_px: float = 1.0
    max_score: float = 0.02
    min_mask_iou: float = 0.95
    max_mask: float = 0.1
    max_tensor: float = 0.02
    min_matched_default: float | None = None


@dataclass(frozen=True)
class Conditions:
    """How the two are run. `device`: of the IR; `min_score`: of instances that count."""

    framework: Framework = "auto"
    device: str = "CPU"
    min_score: float = DEFAULT_MIN_SCORE
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Check:
    """One limit: `name`, what was `found`, the `limit`, and whether it `holds`."""

    name: str
    found: float
    limit: float
    holds: bool


@dataclass(frozen=True, eq=False)
class ImageParity:
    """One image: what the source and the IR found at f32 and at the device's default precision."""

    path: Path
    width: int
    height: int
    source: Side
    exact: Side
    matching: Matching
    default: Side
    default_matching: Matching


@dataclass(frozen=True, eq=False)
class Validation:
    """`checks`: the verdict's limits; `tensors`: before selection, empty where none is shared.

    `agreement`: source and IR at f32; `default_agreement`: source and IR at `default_precision`.
    """

    source: Path
    model: Path
    runtime: str
    own_framework: bool
    note: str
    family: str
    contract: ModelContract
    model_digest: str
    devices: tuple[str, ...]
    default_precision: str
    min_score: float
    images: tuple[ImageParity, ...]
    agreement: Agreement
    default_agreement: Agreement
    tensors: tuple[TensorGap, ...]
    checks: tuple[Check, ...]
    default_checks: tuple[Check, ...]
    seconds: float = field(default=0.0)

    @property
    def passed(self) -> bool:
        """Whether every limit holds."""
        return all(check.holds for check in (*self.checks, *self.default_checks))


def validate(
    source_path: Path,
    model_path: Path,
    photos: Sequence[Path],
    *,
    wishes: Wishes | None = None,
    load: LoadOptions | None = None,
    conditions: Conditions | None = None,
    progress: Progress = lambda _what, _done, _of: None,
) -> Validation:
    """Raises LabelvinoError where one side cannot run; a difference is no error."""
    began = time.perf_counter()
    wishes, how = wishes or Wishes(), conditions or Conditions()
    exact = Engine(model_path, device=how.device, precision="f32")
    source = load_source(source_path, load)
    family = _family(source, wishes)
    opened = open_reference(source, how.framework)
    bench = _Bench(source, family, opened.reference, wishes, exact.contract)
    probed = ProbedIr(model_path, exact.contract, opened.reference.tensor_names())
    usual = Engine(model_path, device=how.device)
    images, pairs = [], _Pairs(probed.names)
    for done, path in enumerate(photos, start=1):
        photo = read_photo(path)
        inner = probed.names if done <= _PROBED_IMAGES else ()
        tensor, geometry = resize_image(photo, exact.contract.resize)
        expected, values = bench.answer(tensor, geometry, inner)
        if inner:
            pairs.add(values, probed.run(tensor))
        images.append(_parity(path, photo, expected, exact, usual, how.min_score))
        progress("images", done, len(photos))
    agreement = Agreement.of([image.matching for image in images])
    default = Agreement.of([image.default_matching for image in images])
    tensors = pairs.gaps()
    return Validation(
        source=source_path,
        model=model_path,
        runtime=opened.reference.runtime,
        own_framework=opened.own,
        note=opened.note,
        family=family.name,
        contract=exact.contract,
        model_digest=exact.model_digest,
        devices=exact.execution_devices,
        default_precision=usual.precision,
        min_score=how.min_score,
        images=tuple(images),
        agreement=agreement,
        default_agreement=default,
        tensors=tensors,
        checks=_checks(agreement, tensors, how.limits),
        default_checks=_default_checks(default, how.limits),
        seconds=time.perf_counter() - began,
    )


class _Bench:
    """The source, fed and read."""

    def __init__(
        self,
        source: SourceModel,
        family: Family,
        reference: Reference,
        wishes: Wishes,
        contract: ModelContract,
    ) -> None:
        self._source = source
        self._family = family
        self._reference = reference
        self._preparation = preprocessing_of(family, preprocessing_said(source, wishes))
        self._contract = contract

    def answer(
        self, tensor: npt.NDArray[np.uint8], geometry: ResizeGeometry, inner: Sequence[str]
    ) -> tuple[Side, dict[str, Array]]:
        inputs = source_inputs(self._source, tensor, self._preparation)
        answer = self._reference.run(inputs, inner)
        size = (tensor.shape[2], tensor.shape[1])
        rows = source_rows(self._family, answer.outputs, self._contract.labels, size)
        return Side.of_raw(rows, geometry, self._contract.mask_frame), answer.inner


class _Pairs:
    """Values of the probes, by name."""

    def __init__(self, names: Sequence[str]) -> None:
        self._values: dict[str, list[tuple[Array, Array]]] = {name: [] for name in names}

    def add(self, source: dict[str, Array], model: dict[str, Array]) -> None:
        for name, values in self._values.items():
            values.append((source[name], model[name]))

    def gaps(self) -> tuple[TensorGap, ...]:
        found = (gap_of(name, values) for name, values in self._values.items() if values)
        return tuple(gap for gap in found if gap is not None)


def _family(source: SourceModel, wishes: Wishes) -> Family:
    if wishes.family is not None:
        return family_named(wishes.family)
    if source.facts.family is not None:
        return family_named(source.facts.family)
    return detect(source.model)[0]


def _parity(
    path: Path,
    photo: DecodedImage,
    expected: Side,
    exact: Engine,
    usual: Engine,
    min_score: float,
) -> ImageParity:
    sides = []
    for engine in (exact, usual):
        raw, geometry = engine.infer(photo)
        sides.append(Side.of_raw(raw, geometry, engine.contract.mask_frame))
    return ImageParity(
        path,
        photo.width,
        photo.height,
        expected,
        sides[0],
        match(expected, sides[0], min_score),
        sides[1],
        match(expected, sides[1], min_score),
    )


def _checks(
    agreement: Agreement, tensors: Sequence[TensorGap], limits: Limits
) -> tuple[Check, ...]:
    if not agreement.count_one + agreement.count_other:
        raise MeasurementError(
            "neither the source nor the model finds anything in these images, which proves "
            "nothing: give images that show what the model was trained for, or a lower --min-score."
        )
    found = [_at_least("matched instances", agreement.share, limits.min_matched)]
    if agreement.pairs:
        box, score = (agreement.quantile(name, THREE_OF_FOUR) for name in ("box_px", "score"))
        # Where a box moved, its mask shows another part of the image.
        steady = tuple(pair for pair in agreement.pairs if pair.box_px <= limits.max_box_px)
        masks = replace(agreement, pairs=steady)
        found += [
            _at_most("box, pixels of the image", box, limits.max_box_px),
            _at_most("score", score, limits.max_score),
        ]
        overlap = masks.quantile("mask_iou", 1 - THREE_OF_FOUR)
        mask = masks.quantile("mask", THREE_OF_FOUR)
        if not np.isnan(overlap):
            found.append(_at_least("mask IoU, where boxes agree", overlap, limits.min_mask_iou))
        if not np.isnan(mask):
            found.append(_at_most("raw mask, where boxes agree", mask, limits.max_mask))
    broken = float(agreement.broken[1])
    found.append(_at_most("rows that are no numbers", broken, 0.0))
    if tensors:
        worst = max(gap.relative for gap in tensors)
        found.append(_at_most("tensors before selection, share of range", worst, limits.max_tensor))
    return tuple(found)


def _default_checks(agreement: Agreement, limits: Limits) -> tuple[Check, ...]:
    if limits.min_matched_default is None:
        return ()
    name = "matched instances at the default precision"
    return (_at_least(name, agreement.share, limits.min_matched_default),)


def _at_least(name: str, found: float, limit: float) -> Check:
    return Check(name, found, limit, found >= limit)


def _at_most(name: str, found: float, limit: float) -> Check:
    return Check(name, found, limit, found <= limit)
