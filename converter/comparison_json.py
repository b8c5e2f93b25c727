"""A comparison as plain data: what report.json holds and the page is drawn from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from backend.runtime.engine import Engine
from converter.accuracy import Accuracy
from converter.compare import MatchedImage, Predictions, Run, Speed
from converter.match import Pair
from converter.performance import Ratio

FORMAT = 1
SIDES = ("a", "b")
_SCORE_EDGES = np.linspace(0, 1, 21)


def comparison_json(
    run: Run, predictions: Predictions, accuracy: Accuracy | str | None
) -> dict[str, Any]:
    """`accuracy`: None without annotations, or the sentence that says why it failed."""
    return {
        "format": FORMAT,
        "kind": "comparison",
        **_common(run),
        "performance": {
            **_by_side(run.speeds),
            "ratios": {name: ratio.to_json() for name, ratio in ratios(run).items()},
        },
        "predictions": _predictions(predictions, run.conditions.min_score),
        "accuracy": _accuracy(accuracy),
    }


def benchmark_json(run: Run) -> dict[str, Any]:
    """One model, the performance half."""
    return {
        "format": FORMAT,
        "kind": "benchmark",
        **_common(run),
        "performance": _by_side(run.speeds),
    }


def ratios(run: Run) -> dict[str, Ratio]:
    """B's figure divided by A's."""
    found = {"latency": run.latency_ratio}
    a, b = run.speeds
    for hint in a.throughput:
        found[f"throughput_{hint}"] = Ratio.of_rounds(
            a.throughput[hint].rounds, b.throughput[hint].rounds
        )
    if a.starts and b.starts:
        pairs = {"load": "load_s", "first": "first_s", "memory": "peak_bytes"}
        for name, field in pairs.items():
            values = [[float(getattr(s, field)) for s in x.starts.cold] for x in (a, b) if x.starts]
            found[name] = Ratio.of_rounds(*values)
        warm = [[start.load_s for start in each.warm] for each in (a.starts, b.starts)]
        found["load_cached"] = Ratio.of_rounds(*warm)
    return found


def model_size(path: Path) -> int:
    """Bytes of graph and weights."""
    return path.stat().st_size + path.with_suffix(".bin").stat().st_size


def _common(run: Run) -> dict[str, Any]:
    return {
        "machine": run.machine.to_json(),
        "seconds": round(run.seconds, 2),
        "conditions": {
            "device": run.conditions.device,
            "precision": run.conditions.precision,
            "images": len(run.images),
        },
        "models": _by_key([_model(engine) for engine in run.engines]),
        "failures": [
            {
                "image": failure.path.name,
                "model": None if failure.model is None else SIDES[failure.model],
                "error": failure.error,
            }
            for failure in run.failures
        ],
    }


def _model(engine: Engine) -> dict[str, Any]:
    contract = engine.contract
    return {
        "path": str(engine.model_path),
        "name": contract.name,
        "digest": engine.model_digest,
        "family": contract.family,
        "weights": contract.precision,
        "labels": len(contract.labels),
        "masks": contract.mask_frame is not None,
        "resize": str(contract.resize),
        "size_bytes": model_size(engine.model_path),
        "devices": list(engine.execution_devices),
        "computes_in": engine.precision,
    }


def _by_key(values: Sequence[Any]) -> dict[str, Any]:
    return dict(zip(SIDES, values, strict=False))


def _by_side(speeds: Sequence[Speed]) -> dict[str, Any]:
    return _by_key(
        [
            {
                "latency": speed.latency.to_json(),
                "throughput": {hint: each.to_json() for hint, each in speed.throughput.items()},
                "start": None if speed.starts is None else speed.starts.to_json(),
            }
            for speed in speeds
        ]
    )


def _predictions(predictions: Predictions, min_score: float) -> dict[str, Any]:
    total = predictions.agreement
    return {
        "min_score": min_score,
        "total": {
            "a": total.count_one,
            "b": total.count_other,
            "matches": len(total.pairs),
            "share": total.share,
            "mask_iou": _number(total.mean_mask_iou),
            "flat": list(total.flat),
        },
        "images": sorted((_image_row(each) for each in predictions.images), key=_worst_first),
        "classes": sorted(_class_rows(predictions), key=_worst_first),
        "image_classes": sorted(
            (
                {"image": each.image.path.name, **row}
                for each in predictions.images
                for row in _class_rows(Predictions(predictions.labels, (each,), total))
            ),
            key=_worst_first,
        ),
        "score_histogram": {
            "edges": [round(float(edge), 3) for edge in _SCORE_EDGES],
            **_by_key(
                [
                    np.histogram(
                        np.concatenate([each.sides[i].scores for each in predictions.images]),
                        _SCORE_EDGES,
                    )[0].tolist()
                    for i in range(2)
                ]
            ),
        },
    }


def _image_row(each: MatchedImage) -> dict[str, Any]:
    matching = each.matching
    pairs = matching.pairs
    return {
        "image": each.image.path.name,
        "a": len(pairs) + len(matching.only_one),
        "b": len(pairs) + len(matching.only_other),
        "matches": len(pairs),
        "share": matching.share,
        "mask_iou": _mean_iou(pairs),
        "largest_box_px": max((pair.box_px for pair in pairs), default=None),
    }


def _class_rows(predictions: Predictions) -> list[dict[str, Any]]:
    """`precision_a`: of what A calls so, the share that B calls so too; `precision_b` likewise."""
    counts: dict[int, list[int]] = {}
    pairs: dict[int, list[Pair]] = {}
    for each in predictions.images:
        one, other = each.sides
        for pair in each.matching.pairs:
            pairs.setdefault(int(one.labels[pair.one]), []).append(pair)
        for side, alone, position in (
            (one, each.matching.only_one, 0),
            (other, each.matching.only_other, 1),
        ):
            for instance in alone:
                label = int(side.labels[instance.row])
                counts.setdefault(label, [0, 0])[position] += 1
    rows = []
    for label in {*counts, *pairs}:
        matched = pairs.get(label, [])
        only_a, only_b = counts.get(label, [0, 0])
        a, b = len(matched) + only_a, len(matched) + only_b
        rows.append(
            {
                "label": predictions.labels[label],
                "a": a,
                "b": b,
                "matches": len(matched),
                "share": 2 * len(matched) / (a + b),
                "precision_a": len(matched) / a if a else None,
                "precision_b": len(matched) / b if b else None,
                "mask_iou": _mean_iou(matched),
            }
        )
    return rows


def _worst_first(row: dict[str, Any]) -> tuple[float, float, str]:
    iou = row["mask_iou"]
    return row["share"], 1.0 if iou is None else iou, row.get("label", row.get("image", ""))


def _mean_iou(pairs: Sequence[Pair]) -> float | None:
    values = [pair.mask_iou for pair in pairs if pair.mask_iou is not None]
    return float(np.mean(values)) if values else None


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _accuracy(accuracy: Accuracy | str | None) -> dict[str, Any] | None:
    if accuracy is None or isinstance(accuracy, str):
        return None if accuracy is None else {"failed": accuracy}
    return {
        "images": accuracy.images,
        "instances": accuracy.instances,
        "left_out": accuracy.left_out,
        "labels_without_category": list(accuracy.unnamed),
        "metrics": {
            each.kind: {
                **_by_key(
                    [
                        {
                            **evaluation.overall.to_json(),
                            "precision50": [round(float(v), 4) for v in evaluation.precision50],
                            "precision75": [round(float(v), 4) for v in evaluation.precision75],
                            "classes": {
                                accuracy.names[category]: value.to_json()
                                for category, value in evaluation.per_category.items()
                            },
                        }
                        for evaluation in each.evaluations
                    ]
                ),
                "difference": {name: gap.to_json() for name, gap in each.gaps.items()},
            }
            for each in accuracy.measured
        },
    }
