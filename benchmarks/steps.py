"""Where a photo's processor time goes, step by step in one thread.

    python -m benchmarks.steps MODEL.xml PHOTOS [PHOTOS ...] [--rounds N] [--count N]

Each column is a folder. Inference is the time of all threads; it is measured before the other
steps, since its threads go on looking for work for a while. Steps that only run within a larger
one are measured by repeating it, and subtracting. A round takes about 0.2 s a photo.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import orjson

from backend.labelstudio.config_writer import write_label_config
from backend.labelstudio.label_config import ControlKind, parse_label_config
from backend.labelstudio.region_plan import RegionPlan, Thresholds, plan_regions
from backend.labelstudio.regions import RegionOptions, build_regions
from backend.runtime.candidates import Candidates
from backend.runtime.detections import MaskCrop
from backend.runtime.engine import Engine, RawOutputs, select
from backend.runtime.image import decode_image, pixel_count
from backend.runtime.outlines import trace_all
from backend.runtime.overlay import label_colours
from backend.runtime.resize import ResizeGeometry, resize_image
from backend.runtime.sketches import MasksOnDemand, polygons_of
from benchmarks.machine import describe

T = TypeVar("T")
MIN_SCORE, LIMIT = 0.5, 300
OPTIONS = RegionOptions()
POLYGONS = (
    "digest of the file",
    "header",
    "decode the JPEG",
    "resize",
    "select instances",
    "draw masks or sketches",
    "outlines",
    "refine polygons",
    "regions",
    "JSON",
)
BRUSH = ("brush: paste masks", "brush: run lengths, regions", "brush: JSON")


class Clock:
    """Milliseconds of processor time by step, of each photo."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = defaultdict(list)

    def time(self, step: str, do: Callable[[], T], *, threads: bool = False) -> T:
        """`threads`: of all threads of the process, not of this one alone."""
        clock = time.process_time if threads else time.thread_time
        began = clock()
        result = do()
        self.times[step].append((clock() - began) * 1000)
        return result

    def subtract(self, step: str, whole: str, *parts: str) -> None:
        """A step is what is left of the last `whole` without its parts."""
        rest = self.times[whole][-1] - sum(self.times[part][-1] for part in parts)
        self.times[step].append(rest)

    def mean(self, step: str) -> float:
        """Never below 0, which a difference of two measurements can be."""
        return max(0.0, statistics.fmean(self.times[step]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--count", type=int, default=16, help="photos of each folder")
    arguments = parser.parse_args()
    about = describe()
    engine = Engine(arguments.model, device="CPU", throughput=True)
    clocks = [
        measure(engine, sorted(folder.iterdir())[: arguments.count], arguments.rounds)
        for folder in arguments.folders
    ]
    names = [folder.name for folder in arguments.folders]
    print(about, "", f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}", sep="\n")
    for step in ("inference", *POLYGONS, *BRUSH):
        print(f"| {step} | {' | '.join(f'{clock.mean(step):.1f}' for clock in clocks)} |")
    besides = [sum(map(clock.mean, POLYGONS)) for clock in clocks]
    print(f"| all besides inference, polygons | {' | '.join(f'{v:.1f}' for v in besides)} |")
    share = [clock.mean("inference") + v for clock, v in zip(clocks, besides, strict=True)]
    print(f"| all, polygons | {' | '.join(f'{v:.1f}' for v in share)} |")


def measure(engine: Engine, photos: list[Path], rounds: int) -> Clock:
    """All steps of each photo, `rounds` times after one that does not count."""
    clock = Clock()
    raws = [infer(engine, photo, rounds, clock) for photo in photos]
    time.sleep(0.2)
    plans = {kind: plan(engine, kind) for kind in ("polygon", "brush")}
    warm = Clock()
    for number in range(rounds + 1):
        for photo, raw in zip(photos, raws, strict=True):
            one_photo(engine, photo.read_bytes(), raw, plans, clock if number else warm)
    return clock


def infer(
    engine: Engine, photo: Path, rounds: int, clock: Clock
) -> tuple[RawOutputs, ResizeGeometry]:
    image = decode_image(photo.read_bytes(), needed=engine.needed_size)
    found = engine.infer(image)
    for _ in range(rounds):
        clock.time("inference and resize", lambda: engine.infer(image), threads=True)
        clock.time("resize within", lambda: resize_image(image, engine.contract.resize))
        clock.subtract("inference", "inference and resize", "resize within")
    return found


def one_photo(
    engine: Engine,
    data: bytes,
    raw: tuple[RawOutputs, ResizeGeometry],
    plans: dict[str, RegionPlan],
    clock: Clock,
) -> None:
    digest = clock.time("digest of the file", lambda: sha256(data).hexdigest())
    clock.time("header", lambda: pixel_count(data))
    image = clock.time(
        "decode the JPEG", lambda: decode_image(data, needed=engine.needed_size, digest=digest)
    )
    clock.time("resize", lambda: resize_image(image, engine.contract.resize))
    found = clock.time("select instances", lambda: select(*raw, engine.contract, MIN_SCORE, LIMIT))
    polygon_steps(found, plans["polygon"], clock)
    detections = found.detections(MIN_SCORE, LIMIT)
    clock.time("brush: paste masks", lambda: list(detections.masks or ()))
    regions = clock.time(
        "brush: run lengths, regions",
        lambda: build_regions(detections, plans["brush"], "image", OPTIONS).regions,
    )
    clock.time("brush: JSON", lambda: orjson.dumps(regions))


def polygon_steps(found: Candidates, wanted: RegionPlan, clock: Clock) -> None:
    detail, count = OPTIONS.polygon, len(found)
    masks = found.detections(MIN_SCORE, LIMIT).masks
    drawn = []
    if isinstance(masks, MasksOnDemand):
        drawn = clock.time("draw masks or sketches", lambda: draw(masks, detail.overlap))
    else:
        clock.time("draw masks or sketches", lambda: None)
    clock.time("outlines", lambda: trace_all(drawn))
    again = found.detections(MIN_SCORE, LIMIT).masks
    clock.time("polygons", lambda: polygons_of(again or (), range(count), [detail] * count))
    clock.subtract("refine polygons", "polygons", "draw masks or sketches", "outlines")
    fresh = found.detections(MIN_SCORE, LIMIT)
    written = clock.time(
        "polygons and regions", lambda: build_regions(fresh, wanted, "image", OPTIONS).regions
    )
    clock.subtract("regions", "polygons and regions", "polygons")
    clock.time("JSON", lambda: orjson.dumps(written))


def draw(masks: MasksOnDemand, overlap: float) -> list[MaskCrop]:
    """What polygons are made of: sketches, or the masks themselves."""
    sketches = [masks.sketch(i, overlap) for i in range(len(masks))]
    return [masks[i] if s is None else s.mask for i, s in enumerate(sketches)]


def plan(engine: Engine, kind: ControlKind) -> RegionPlan:
    names = engine.contract.label_names
    config = parse_label_config(write_label_config(names, (kind,), label_colours(names)))
    return plan_regions(
        config, "image", names, has_masks=True, thresholds=Thresholds(model=MIN_SCORE)
    )


if __name__ == "__main__":
    main()
