"""Two IRs on the same images, taking turns: what each finds, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backend.runtime.contract import Label
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, Precision, decode
from backend.runtime.errors import ImageError, InferenceError, MeasurementError
from backend.runtime.image import DecodedImage
from converter.agreement import Agreement
from converter.calibration import read_photo
from converter.machine import Machine, this_machine
from converter.match import DEFAULT_MIN_SCORE, Matching, Side, match
from converter.performance import Latency, Ratio, Throughput, measure_throughput, turns
from converter.startup import Starts, measure_starts

Progress = Callable[[str, int, int], None]
"""Hears what is done, how many are done, and of how many."""
_WARM_UP = 3
_MOST_DETECTIONS = 100  # as COCO counts
_LEAST_TIMED = 40  # of a few images, most fall to one side by chance
_MOST_TIMING_S = 20.0
_THROUGHPUT_PHOTOS = 16


@dataclass(frozen=True)
class Conditions:
    """`min_score`: of instances that are matched; `performance`: measure speed beyond latency;
    `starts`: how often each model is started by itself; `throughput_s`: for each hint."""

    device: str = "AUTO"
    precision: Precision = "auto"
    min_score: float = DEFAULT_MIN_SCORE
    performance: bool = True
    starts: int = 2
    throughput_s: float = 12.0


@dataclass(frozen=True, eq=False)
class ComparedImage:
    """One image; `found`: all detections of each model, from score 0 on."""

    path: Path
    photo_size: tuple[int, int]
    found: tuple[Detections, ...]


@dataclass(frozen=True)
class Failure:
    """An image that a model, or nobody, could read. `model`: its position, or None."""

    path: Path
    model: int | None
    error: str


@dataclass(frozen=True, eq=False)
class Speed:
    """One model. `throughput`: by hint, 'latency' and 'throughput'."""

    latency: Latency
    throughput: dict[str, Throughput] = field(default_factory=dict)
    starts: Starts | None = None


@dataclass(frozen=True, eq=False)
class Run:
    """All that was measured of one model or two. `seconds`: all of it took."""

    engines: tuple[Engine, ...]
    machine: Machine
    conditions: Conditions
    images: tuple[ComparedImage, ...]
    failures: tuple[Failure, ...]
    speeds: tuple[Speed, ...]
    seconds: float

    @property
    def latency_ratio(self) -> Ratio:
        """Of two models."""
        first, second = (speed.latency.seconds for speed in self.speeds)
        return Ratio.of_pairs(first, second)


def run_models(
    models: Sequence[Path],
    photos: Sequence[Path],
    conditions: Conditions,
    *,
    progress: Progress = lambda _what, _done, _of: None,
) -> Run:
    """Raises LabelvinoError where a model cannot be loaded; an image that fails is noted."""
    began = time.perf_counter()
    machine = this_machine()
    engines = tuple(
        Engine(model, device=conditions.device, precision=conditions.precision) for model in models
    )
    decoded, failures = _read(photos)
    if not decoded:
        raise MeasurementError(f"none of the {len(photos)} images can be read.")
    for _, photo in decoded[:_WARM_UP]:
        for engine in engines:
            _try(engine, photo)
    images, seconds = [], []
    for index, (path, photo) in enumerate(decoded):
        found: list[Detections | None] = [None] * len(engines)
        spent = [0.0] * len(engines)
        for i in turns(len(engines), index):
            try:
                found[i], spent[i] = _detect(engines[i], photo)
            except InferenceError as error:
                failures.append(Failure(path, i, str(error)))
        whole = tuple(each for each in found if each is not None)
        if len(whole) == len(engines):
            images.append(ComparedImage(path, (photo.width, photo.height), whole))
            seconds.append(spent)
        progress("images", index + 1, len(decoded))
    if not images:
        raise MeasurementError(f"no image went through: {failures[0].error}")
    pixels = [photo for _, photo in decoded]
    seconds += _more_times(engines, pixels, len(seconds))
    latencies = [Latency(tuple(values)) for values in zip(*seconds, strict=True)]
    speeds = _speeds(engines, pixels, latencies, conditions, progress)
    return Run(
        engines,
        machine,
        conditions,
        tuple(images),
        tuple(failures),
        speeds,
        time.perf_counter() - began,
    )


def _read(photos: Sequence[Path]) -> tuple[list[tuple[Path, DecodedImage]], list[Failure]]:
    decoded, failures = [], []
    for path in photos:
        try:
            decoded.append((path, read_photo(path)))
        except ImageError as error:
            failures.append(Failure(path, None, str(error)))
    return decoded, failures


def _try(engine: Engine, photo: DecodedImage) -> None:
    try:
        engine.infer(photo)
    except InferenceError:
        return  # it is noted when its turn comes


def _more_times(
    engines: Sequence[Engine], photos: Sequence[DecodedImage], have: int
) -> list[list[float]]:
    """Small sets are timed again and again, each time by all engines, but not for ever."""
    found: list[list[float]] = []
    began = time.perf_counter()
    while have + len(found) < _LEAST_TIMED and time.perf_counter() - began < _MOST_TIMING_S:
        again, index = divmod(len(found), len(photos))
        photo = photos[index]
        spent = [0.0] * len(engines)
        try:
            for i in turns(len(engines), again + index + 1):
                started = time.perf_counter()
                engines[i].infer(photo)
                spent[i] = time.perf_counter() - started
        except InferenceError:
            break  # it has been noted when its turn came
        found.append(spent)
    return found


def _detect(engine: Engine, photo: DecodedImage) -> tuple[Detections, float]:
    """What is found, and the seconds of resizing and inference."""
    began = time.perf_counter()
    raw, geometry = engine.infer(photo)
    spent = time.perf_counter() - began
    return decode(raw, geometry, engine.contract, 0.0, _MOST_DETECTIONS), spent


def _speeds(
    engines: Sequence[Engine],
    photos: Sequence[DecodedImage],
    latencies: Sequence[Latency],
    conditions: Conditions,
    progress: Progress,
) -> tuple[Speed, ...]:
    if not conditions.performance:
        return tuple(Speed(latency) for latency in latencies)
    typical = [sorted(latency.seconds)[len(latency.seconds) // 2] for latency in latencies]
    busy = {
        False: engines,
        True: [
            Engine(
                engine.model_path,
                device=conditions.device,
                precision=conditions.precision,
                throughput=True,
            )
            for engine in engines
        ],
    }
    by_hint = {}
    for step, (throughput, each) in enumerate(busy.items(), start=1):
        by_hint["throughput" if throughput else "latency"] = measure_throughput(
            each, photos[:_THROUGHPUT_PHOTOS], typical, conditions.throughput_s
        )
        progress("throughput", step, len(busy))
    picture = Path(__file__).with_name("self_test.jpg")
    progress("starts", 0, 1)
    starts = measure_starts(
        [engine.model_path for engine in engines],
        picture,
        conditions.device,
        conditions.precision,
        conditions.starts,
    )
    progress("starts", 1, 1)
    return tuple(
        Speed(latency, {hint: figures[i] for hint, figures in by_hint.items()}, starts[i])
        for i, latency in enumerate(latencies)
    )


@dataclass(frozen=True, eq=False)
class MatchedImage:
    """`sides`: of both models, labels by the shared list."""

    image: ComparedImage
    sides: tuple[Side, Side]
    matching: Matching


@dataclass(frozen=True, eq=False)
class Predictions:
    """What two models find, matched. `labels`: names that the sides' labels count through."""

    labels: tuple[str, ...]
    images: tuple[MatchedImage, ...]
    agreement: Agreement


def match_predictions(run: Run) -> Predictions:
    """Of a run of two models."""
    first, second = (engine.contract.labels for engine in run.engines)
    names = shared_labels(first, second)
    index = {name: i for i, name in enumerate(names)}
    maps = [[index[label.name] for label in labels] for labels in (first, second)]
    images = []
    for image in run.images:
        one, other = (
            Side.of_detections(found, renamed)
            for found, renamed in zip(image.found, maps, strict=True)
        )
        matching = match(one, other, run.conditions.min_score)
        images.append(MatchedImage(image, (one, other), matching))
    return Predictions(names, tuple(images), Agreement.of([image.matching for image in images]))


def shared_labels(first: Sequence[Label], second: Sequence[Label]) -> tuple[str, ...]:
    """The names of both, the first model's in its order and then what only the second has.

    Raises MeasurementError where they have none in common.
    """
    names = [label.name for label in first]
    others = [label.name for label in second]
    if not set(names) & set(others):
        raise MeasurementError(
            f"the models have no label in common ({names[0]}, ... and {others[0]}, ...), so that "
            "nothing they find can be the same: convert both with the same --labels."
        )
    return tuple(dict.fromkeys([*names, *others]))
