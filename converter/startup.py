"""What a model costs before its first answer, and how much memory, in a process of its own.

`python -m converter.startup MODEL.xml PICTURE DEVICE PRECISION [CACHE]` prints one JSON object.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

from backend.runtime.engine import Engine, Precision
from backend.runtime.errors import LabelvinoError, MeasurementError
from backend.runtime.image import decode_image

_TIMEOUT_S = 900.0
_INFERENCES = 3  # of which the first is timed; memory grows a little after it


@dataclass(frozen=True)
class Start:
    """One start. `load_s`: from the files to a model that can answer; `first_s`: its first answer;
    `peak_bytes`: most memory of the process, of which `own_bytes` came with the model."""

    load_s: float
    first_s: float
    peak_bytes: int
    own_bytes: int


@dataclass(frozen=True)
class Starts:
    """Some starts of one model; the figures are medians. `cold`: no model cache; `warm`: with one
    that an earlier start has filled."""

    cold: tuple[Start, ...]
    warm: tuple[Start, ...]

    def to_json(self) -> dict[str, Any]:
        """Medians, and the starts."""
        return {
            "load_s": median(start.load_s for start in self.cold),
            "load_cached_s": median(start.load_s for start in self.warm),
            "first_s": median(start.first_s for start in self.cold),
            "peak_bytes": median(start.peak_bytes for start in self.cold),
            "own_bytes": median(start.own_bytes for start in self.cold),
            "cold": [asdict(start) for start in self.cold],
            "warm": [asdict(start) for start in self.warm],
        }


def measure_starts(
    models: Sequence[Path], picture: Path, device: str, precision: Precision, times: int
) -> tuple[Starts, ...]:
    """One for each model; the models take turns. Raises MeasurementError."""
    cold: list[list[Start]] = [[] for _ in models]
    warm: list[list[Start]] = [[] for _ in models]
    with tempfile.TemporaryDirectory(prefix="labelvino-") as folder:
        caches = [Path(folder) / str(i) for i in range(len(models))]
        for turn in range(times):
            for i, model in enumerate(models):
                cold[i].append(_start(model, picture, device, precision, None))
            for i, model in enumerate(models):
                if turn == 0:
                    _start(model, picture, device, precision, caches[i])
                warm[i].append(_start(model, picture, device, precision, caches[i]))
    return tuple(Starts(tuple(c), tuple(w)) for c, w in zip(cold, warm, strict=True))


def _start(
    model: Path, picture: Path, device: str, precision: Precision, cache: Path | None
) -> Start:
    arguments = [str(model), str(picture), device, precision, *([str(cache)] if cache else [])]
    # -P: a folder named converter where the user stands must not be taken for ours.
    command = [sys.executable, "-P", "-m", "converter.startup", *arguments]
    try:
        done = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
        answer = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired as error:
        raise MeasurementError(f"{model} did not start within {_TIMEOUT_S:.0f} s.") from error
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
        raise MeasurementError(f"{model} could not be started by itself: {last}.") from None
    if "error" in answer:
        raise MeasurementError(f"{model} could not be started by itself: {answer['error']}")
    return Start(**answer)


def _measure(
    model: Path, picture: Path, device: str, precision: Precision, cache: Path | None
) -> Start:
    image = decode_image(picture.read_bytes())
    before = _memory_bytes("VmRSS")
    began = time.perf_counter()
    engine = Engine(model, device=device, precision=precision, cache_dir=cache)
    loaded = time.perf_counter()
    engine.infer(image)
    answered = time.perf_counter()
    for _ in range(_INFERENCES - 1):
        engine.infer(image)
    peak = _memory_bytes("VmHWM")
    return Start(loaded - began, answered - loaded, peak, peak - before)


def _memory_bytes(field: str) -> int:
    """VmRSS, what the process has in memory now, or VmHWM, the most that it had.

    Linux counts the parent's memory into getrusage's figure of a child that it started.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def main() -> int:
    """The command of the child process."""
    model, picture, device, precision, *cache = sys.argv[1:]
    try:
        start = _measure(
            Path(model),
            Path(picture),
            device,
            cast("Precision", precision),
            Path(cache[0]) if cache else None,
        )
        print(json.dumps(asdict(start)))
    except LabelvinoError as error:
        print(json.dumps({"error": str(error)}))
    sys.stdout.flush()
    os._exit(0)  # tearing a model down is nobody's waiting time


if __name__ == "__main__":
    main()
