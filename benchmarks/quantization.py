"""What INT8 costs: two folds over annotated photos, and both models' average precision.

`.cache/envs/quantize/bin/python benchmarks/quantization.py MODEL.xml PHOTOS INSTANCES.json OUT`,
in the environment of `make env-quantize`. Each half of the photos calibrates once, the other half
is evaluated with what came of it; the detections of both halves are pooled. Everything at f32.
Options of `labelvino-model quantize` may follow: --preset, --ignored-scope, --split N.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path

from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from converter.bootstrap import difference
from converter.calibration import Photos, photos_of
from converter.coco_metrics import evaluate
from converter.ground_truth import category_ids, read_ground_truth
from converter.quantization_check import detect_all, kept_of
from converter.quantize import QuantizeOptions, quantize


def main() -> None:
    given = _arguments()
    photos = list(photos_of(given.photos))
    random.Random(given.split).shuffle(photos)  # noqa: S311
    halves = photos[0::2], photos[1::2]
    given.out.mkdir(exist_ok=True)
    options = QuantizeOptions(given.preset, tuple(given.ignored_scope), min_agreement=0.0)
    before: dict[str, Detections] = {}
    after: dict[str, Detections] = {}
    for number, (calibration, check) in enumerate((halves, halves[::-1])):
        began = time.monotonic()
        chosen = Photos(tuple(calibration), tuple(check))
        target = given.out / f"fold-{number}.xml"
        done = quantize(given.model, target, chosen, options, force=True)
        for found, xml in ((before, given.model), (after, target)):
            found |= dict(zip((p.name for p in check), _detect(xml, check), strict=True))
        print(
            f"fold {number}: {len(calibration)} photos calibrate, {len(check)} check, "
            f"{len(done.scope.layers)} layers ({done.scope.stages}), "
            f"{done.published.size_bytes} bytes of {done.parent_bytes} "
            f"({done.published.size_bytes / done.parent_bytes:.3f}), "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    kept = kept_of((before[name], after[name]) for name in before)
    print(
        f"agreement {kept.share:.4f}: of the parent's {kept.parent} above 0.5 it finds "
        f"{kept.parent_kept}, of its own {kept.own} the parent finds {kept.own_kept}; "
        f"mask IoU {kept.mean_mask_iou}"
    )
    _print_precision(given, before, after)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "photos", "instances", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--preset", default="mixed", choices=["performance", "mixed"])
    parser.add_argument("--ignored-scope", action="append", default=[])
    parser.add_argument("--split", type=int, default=0, help="Another draw of the halves.")
    return parser.parse_args()


def _detect(xml: Path, photos: list[Path]) -> list[Detections]:
    engine = Engine(xml, device="CPU", precision="f32")
    return detect_all(engine, photos, lambda _done, _all: None)


def _print_precision(
    given: argparse.Namespace, before: dict[str, Detections], after: dict[str, Detections]
) -> None:
    contract = Engine(given.model, device="CPU", precision="f32").contract
    ids = read_ground_truth(given.instances).image_ids_by_name()
    truth = read_ground_truth(given.instances).subset(ids[name] for name in before)
    categories = category_ids(contract.labels, truth)
    for kind in ("mask", "box"):
        one, other = (
            evaluate(truth, {ids[name]: d for name, d in found.items()}, categories, kind)
            for found in (before, after)
        )
        gap = difference(one, other)
        print(
            f"{kind} AP {one.overall.ap:.4f} -> {other.overall.ap:.4f} ({gap.value:+.4f}, "
            f"{gap.level:.0%} of {gap.draws} draws from {gap.low:+.4f} to {gap.high:+.4f}), "
            f"AP50 {one.overall.ap50:.4f} -> {other.overall.ap50:.4f}"
        )


if __name__ == "__main__":
    main()
