"""A validation as plain data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from converter.agreement import Agreement
from converter.machine import Machine
from converter.match import Alone, Matching, Side
from converter.validate import ImageParity, Validation

FORMAT = 1
_QUANTILES = (0.5, 0.75, 0.9, 0.99, 1.0)


def validation_json(found: Validation, machine: Machine) -> dict[str, Any]:
    """What report.json holds."""
    names = [label.name for label in found.contract.labels]
    return {
        "format": FORMAT,
        "kind": "validation",
        "passed": found.passed,
        "source": {
            "path": str(found.source),
            "family": found.family,
            "runs_in": found.runtime,
            "own_framework": found.own_framework,
            "note": found.note,
        },
        "model": {
            "path": str(found.model),
            "name": found.contract.name,
            "digest": found.model_digest,
            "weights": found.contract.precision,
            "resize": str(found.contract.resize),
            "devices": list(found.devices),
            "default_precision": found.default_precision,
        },
        "machine": machine.to_json(),
        "seconds": round(found.seconds, 2),
        "min_score": found.min_score,
        "checks": [asdict(check) for check in (*found.checks, *found.default_checks)],
        "tensors": [asdict(gap) | {"relative": gap.relative} for gap in found.tensors],
        "f32": _agreement(found.agreement),
        "default": _agreement(found.default_agreement),
        "images": [_image(image, names) for image in found.images],
    }


def _agreement(agreement: Agreement) -> dict[str, Any]:
    return {
        "source": agreement.count_one,
        "model": agreement.count_other,
        "matches": len(agreement.pairs),
        "share": agreement.share,
        "flat": list(agreement.flat),
        "broken": list(agreement.broken),
        "box_px": _spread(agreement, "box_px"),
        "score": _spread(agreement, "score"),
        "mask": _spread(agreement, "mask"),
        "mask_iou": _spread(agreement, "mask_iou"),
    }


def _spread(agreement: Agreement, name: Any) -> dict[str, float | None]:
    """Of differences, what half, 90 % and 99 % stay below, and the largest; of IoU, above."""
    falls = name == "mask_iou"
    values = {}
    for q in _QUANTILES:
        value = agreement.quantile(name, 1 - q if falls else q)
        values[f"p{round(100 * q)}"] = None if math.isnan(value) else value
    return values


def _image(image: ImageParity, names: Sequence[str]) -> dict[str, Any]:
    return {
        "image": image.path.name,
        **_counts(image.matching),
        "default": _counts(image.default_matching),
        "differing": [
            *_differing(image.source, image.matching.only_one, "source", names),
            *_differing(image.exact, image.matching.only_other, "model", names),
        ],
    }


def _counts(matching: Matching) -> dict[str, Any]:
    pairs = matching.pairs
    ious = [pair.mask_iou for pair in pairs if pair.mask_iou is not None]
    return {
        "source": len(pairs) + len(matching.only_one),
        "model": len(pairs) + len(matching.only_other),
        "matches": len(pairs),
        "share": matching.share,
        "largest_box_px": max((pair.box_px for pair in pairs), default=None),
        "largest_score": max((pair.score for pair in pairs), default=None),
        "least_mask_iou": min(ious, default=None),
    }


def _differing(
    side: Side, alone: Sequence[Alone], found_by: str, names: Sequence[str]
) -> list[dict[str, Any]]:
    return [
        {
            "only": found_by,
            "label": names[int(side.labels[each.row])],
            "score": float(side.scores[each.row]),
            "box_xyxy_px": [round(float(v), 2) for v in side.boxes_xyxy_px[each.row]],
            "why": each.reason,
        }
        for each in alone
    ]
