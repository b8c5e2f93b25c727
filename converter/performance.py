"""How fast models are, taking turns in one run, so that a busy machine is fair to both."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import openvino as ov

from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from backend.runtime.resize import resize_image

_ROUND_S = 0.4
_LEAST_ROUNDS = 3
_MOST_ROUNDS = 10  # fewer would often all fall to one side by chance
_MOST_TENSORS = 16


@dataclass(frozen=True)
class Ratio:
    """The second model's figure divided by the first's.

    `middle`: the median over what was measured side by side; `low`, `high`: the spread, named in
    `spread`.
    """

    middle: float
    low: float
    high: float
    count: int
    spread: str

    @classmethod
    def of_pairs(cls, first: Sequence[float], second: Sequence[float]) -> Ratio:
        """Of images: eight of ten ratios lie within the spread."""
        ratios = np.asarray(second) / np.asarray(first)
        low, middle, high = np.quantile(ratios, [0.1, 0.5, 0.9])
        return cls(float(middle), float(low), float(high), len(ratios), "80 % of the images")

    @classmethod
    def of_rounds(cls, first: Sequence[float], second: Sequence[float]) -> Ratio:
        """Of a few rounds: all ratios lie within the spread."""
        ratios = np.asarray(second) / np.asarray(first)
        return cls(
            float(np.median(ratios)),
            float(ratios.min()),
            float(ratios.max()),
            len(ratios),
            "all rounds",
        )

    def to_json(self) -> dict[str, Any]:
        """By field."""
        return {
            "middle": self.middle,
            "low": self.low,
            "high": self.high,
            "count": self.count,
            "spread": self.spread,
        }


@dataclass(frozen=True)
class Latency:
    """Seconds of one image after the other: resizing and inference, without decoding a file."""

    seconds: tuple[float, ...]

    def to_json(self) -> dict[str, Any]:
        """Milliseconds."""
        values = np.asarray(self.seconds) * 1000
        p50, p95, p99 = np.quantile(values, [0.5, 0.95, 0.99])
        return {
            "p50_ms": float(p50),
            "p95_ms": float(p95),
            "p99_ms": float(p99),
            "mean_ms": float(values.mean()),
            "images": len(values),
            "values_ms": [round(float(v), 3) for v in values],
        }


@dataclass(frozen=True)
class Throughput:
    """Images a second, one figure a round, with `requests` under way at once."""

    rounds: tuple[float, ...]
    requests: int

    def to_json(self) -> dict[str, Any]:
        """The median, and the rounds."""
        return {
            "images_per_s": float(np.median(self.rounds)),
            "rounds": [round(value, 3) for value in self.rounds],
            "requests": self.requests,
        }


def turns(count: int, index: int) -> Iterable[int]:
    """Who goes first changes: 0, 1 for one image, 1, 0 for the next."""
    order = range(count)
    return order if index % 2 == 0 else reversed(order)


def measure_throughput(
    engines: Sequence[Engine],
    photos: Sequence[DecodedImage],
    seconds_each: Sequence[float],
    budget_s: float,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[Throughput, ...]:
    """All engines in turns, round by round, asynchronously; one for each engine.

    `photos`: resized beforehand; `seconds_each`: what one image takes, for the length of a round.
    At least 3 rounds, at most 10, and no new one once `budget_s` is spent.
    """
    tensors = [
        [resize_image(photo, engine.contract.resize)[0] for photo in photos[:_MOST_TENSORS]]
        for engine in engines
    ]
    # The slowest decides, so that every model sees the same images in each round.
    requests = max(engine.requests for engine in engines)
    slowest_s = max(*seconds_each, 1e-4)
    count = max(2 * requests, min(200, round(_ROUND_S / slowest_s)))
    queues = [ov.AsyncInferQueue(engine.compiled, engine.requests) for engine in engines]
    rounds: list[list[float]] = [[] for _ in engines]
    for queue, own in zip(queues, tensors, strict=True):
        _run(queue, own, queue_size(queue))  # warm-up
    began = clock()
    for index in range(_MOST_ROUNDS):
        if index >= _LEAST_ROUNDS and clock() - began > budget_s:
            break
        for i in turns(len(engines), index):
            started = clock()
            _run(queues[i], tensors[i], count)
            rounds[i].append(count / (clock() - started))
    return tuple(
        Throughput(tuple(values), engine.requests)
        for values, engine in zip(rounds, engines, strict=True)
    )


def queue_size(queue: ov.AsyncInferQueue) -> int:
    """How many requests it has."""
    return len(queue)


def _run(queue: ov.AsyncInferQueue, tensors: Sequence[npt.NDArray[np.uint8]], count: int) -> None:
    for index in range(count):
        queue.start_async({"image": tensors[index % len(tensors)]})
    queue.wait_all()
