"""A comparison or a benchmark on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converter.performance_page import condition_rows, performance_rows

_WORST = 8
Json = Mapping[str, Any]


def comparison_text(report: Json) -> str:
    """The whole of it in some forty lines."""
    total = report["predictions"]["total"]
    lines = [*_models(report), "", f"{'':34}{'A':>10}{'B':>10}   B / A (spread)"]
    ratios = report["performance"]["ratios"]
    for row in performance_rows(report, "ab"):
        ratio = ratios.get(row["ratio_of"])
        text = f"{row['figure']:34}{row['a']:10.2f}{row['b']:10.2f}"
        if ratio:
            text += f"   {ratio['middle']:.3f} ({ratio['low']:.2f} to {ratio['high']:.2f})"
        lines.append(text)
    lines += [
        "",
        f"detections above {report['predictions']['min_score']:g}: A {total['a']}, B {total['b']}, "
        f"matches {total['matches']} ({100 * total['share']:.1f} % of both), "
        f"mean mask IoU {_number(total['mask_iou'], 3)}",
    ]
    lines += _worst("image", report["predictions"]["images"])
    lines += _worst("label", report["predictions"]["classes"])
    return "\n".join([*lines, *_accuracy(report["accuracy"])])


def benchmark_text(report: Json) -> str:
    """One model."""
    lines = [*_models(report), ""]
    lines += [f"{row['figure']:34}{row['a']:10.2f}" for row in performance_rows(report, "a")]
    return "\n".join(lines)


def _models(report: Json) -> list[str]:
    lines = []
    for side, model in report["models"].items():
        lines.append(
            f"{side.upper()}  {model['path']}: {model['weights']} weights, "
            f"{model['size_bytes'] / 1e6:.2f} MB, computes in {model['computes_in']} on "
            f"{', '.join(model['devices'])}"
        )
    known = {row["name"]: row["value"] for row in condition_rows(report)}
    lines.append(f"on {known['devices']}, {known['cores']} cores, {known['versions']}")
    lines.append(f"{known['date']}, load {known['load when it began']} when it began")
    return lines


def _worst(key: str, rows: Sequence[Json]) -> list[str]:
    """Those that differ, worst first."""
    differing = [row for row in rows if row["share"] < 1]
    if not differing:
        return [f"no {'class' if key == 'label' else key} differs in what is found"]
    name = "class" if key == "label" else key
    lines = ["", f"{name + ', worst first':34}{'A':>6}{'B':>6}{'matches':>9}{'mask IoU':>10}"]
    for row in differing[:_WORST]:
        lines.append(
            f"{row[key][:33]:34}{row['a']:6}{row['b']:6}{row['matches']:9}"
            f"{_number(row['mask_iou'], 3):>10}"
        )
    if len(differing) > _WORST:
        lines.append(f"... and {len(differing) - _WORST} more")
    return lines


def _accuracy(accuracy: Json | None) -> list[str]:
    if accuracy is None:
        return []
    if "failed" in accuracy:
        return ["", f"average precision is not given: {accuracy['failed']}"]
    lines = ["", f"{'COCO':34}{'A':>10}{'B':>10}   B - A (95 %)"]
    for kind, metric in accuracy["metrics"].items():
        for figure in ("ap", "ap50", "ap75", "small", "medium", "large"):
            a, b = (metric[side][figure] for side in "ab")
            text = f"{kind + ' ' + figure.upper():34}{_number(a, 4):>10}{_number(b, 4):>10}"
            gap = metric["difference"].get(figure)
            if gap:
                text += f"   {gap['value']:+.4f} ({gap['low']:+.4f} to {gap['high']:+.4f})"
            lines.append(text)
    return lines


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
