"""What the page of a comparison shows, made of its JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backend.runtime.page import document as page
from backend.runtime.page import plots
from converter.performance_page import condition_rows, devices, performance_plots, performance_rows

_KIND_NAMES = {"box": "boxes", "mask": "masks", "boundary": "mask boundaries"}
_FIGURES = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "small": "small",
    "medium": "medium",
    "large": "large",
}
Json = Mapping[str, Any]


def comparison_sections(report: Json) -> list[page.Section]:
    """All of the page, from `comparison_json.comparison_json`."""
    return [
        *_head(report),
        *_performance(report),
        *_predictions(report),
        *_pictures(),
        *_accuracy(report),
        *_conditions(report),
    ]


def _head(report: Json) -> list[page.Section]:
    models, machine = report["models"], report["machine"]
    sections = [
        page.note(f"A: {_model_line(models['a'])}"),
        page.note(f"B: {_model_line(models['b'])}"),
        page.note(
            f"{machine['date']}, {devices(machine)}, {machine['cores']} cores, "
            f"{report['conditions']['images']} images, {report['seconds']:.0f} s. Ratios are B "
            "divided by A."
        ),
    ]
    cores, load = machine["cores"], machine["load"]
    if load is not None and load > 0.5 * cores:
        sections.append(
            page.note(
                f"Other work ran on this machine when the measurement began (load {load:.1f} on "
                f"{cores} cores): trust ratios more than times, and neither where their spread is "
                "wide.",
                "bad",
            )
        )
    sections += [
        page.note(f"{failure['image']} failed: {failure['error']}", "bad")
        for failure in report["failures"]
    ]
    sections.append(page.cards(*_cards(report)))
    return sections


def _cards(report: Json) -> list[tuple[str, str, str, str]]:
    total, ratios = report["predictions"]["total"], report["performance"]["ratios"]
    share = total["share"]
    found = [
        (
            "Matched detections",
            f"{100 * share:.1f} %",
            f"{total['matches']} of A's {total['a']} and B's {total['b']} above "
            f"{report['predictions']['min_score']:g}",
            "good" if share >= 0.99 else "bad" if share < 0.9 else "",
        ),
        _ratio_card("Time for an image", ratios["latency"], "p50"),
    ]
    if "throughput_throughput" in ratios:
        found.append(_ratio_card("Images a second", ratios["throughput_throughput"], ""))
    sizes = [report["models"][side]["size_bytes"] for side in "ab"]
    found.append(
        (
            "Size of the IR",
            f"× {sizes[1] / sizes[0]:.2f}",
            f"{sizes[0] / 1e6:.2f} and {sizes[1] / 1e6:.2f} MB",
            "",
        )
    )
    accuracy = report["accuracy"]
    if accuracy and "metrics" in accuracy:
        kind = "mask" if "mask" in accuracy["metrics"] else "box"
        gap = accuracy["metrics"][kind]["difference"].get("ap")
        if gap:
            tone = "bad" if gap["high"] < 0 else "good" if gap["low"] > 0 else ""
            found.append(
                (
                    f"{kind.capitalize()} AP, B minus A",
                    f"{gap['value']:+.4f}",
                    f"95 % within {gap['low']:+.4f} to {gap['high']:+.4f}",
                    tone,
                )
            )
    return found


def _ratio_card(name: str, ratio: Json, of: str) -> tuple[str, str, str, str]:
    rests = f"{ratio['spread']} within {ratio['low']:.2f} to {ratio['high']:.2f}"
    return name + (f", {of}" if of else ""), f"× {ratio['middle']:.2f}", rests, ""


def _performance(report: Json) -> list[page.Section]:
    performance = report["performance"]
    rows = performance_rows(report, "ab")
    for row in rows:
        ratio = performance["ratios"].get(row.pop("ratio_of", ""))
        if ratio:
            row |= {
                "ratio": ratio["middle"],
                "spread": f"{ratio['low']:.2f} to {ratio['high']:.2f}, {ratio['spread']}",
            }
    sizes = [report["models"][side]["size_bytes"] for side in "ab"]
    rows.append(
        {
            "figure": "size of the IR, MB",
            "a": sizes[0] / 1e6,
            "b": sizes[1] / 1e6,
            "ratio": sizes[1] / sizes[0],
        }
    )
    columns = [
        page.column("figure", "figure"),
        page.column("a", "A", 2),
        page.column("b", "B", 2),
        page.column("ratio", "B ÷ A", 3, "the median of what was measured side by side"),
        page.column("spread", "spread of the ratio"),
    ]
    return [
        page.heading(
            "Speed",
            "Both models took turns in one run. A ratio whose spread contains 1 is no difference.",
        ),
        page.table("performance", "Performance", columns, rows),
        page.plots(_key(report), *performance_plots(performance, "ab")),
    ]


def _predictions(report: Json) -> list[page.Section]:
    found = report["predictions"]
    counts = [
        page.column("a", "A's detections", 0),
        page.column("b", "B's detections", 0),
        page.column("matches", "matches", 0, "same label, box IoU of at least 0.5, one to one"),
        page.column("share", "matched share", 3, "2 × matches ÷ detections of both"),
    ]
    overlap = page.column("mask_iou", "mean mask IoU", 3, "of the matched ones")
    precision = [
        page.column("precision_a", "precision of A", 3, "of what A calls so, B agrees on"),
        page.column("precision_b", "precision of B", 3, "of what B calls so, A agrees on"),
    ]
    label = page.column("label", "class")
    image = page.column("image", "image")
    histogram = found["score_histogram"]
    sides = {side: histogram[side] for side in "ab"}
    axis = plots.Axis("score", 0, 1)
    return [
        page.heading(
            "Predictions",
            f"Detections with a score of at least {found['min_score']:g}, worst first. A click on "
            "a column sorts by it; a click on an image with a picture shows it.",
        ),
        page.table(
            "images",
            "Basic: by image",
            [image, *counts, overlap, page.column("largest_box_px", "largest box shift, px", 1)],
            _marked(found["images"]),
            tab="Basic mode",
            picture="image",
        ),
        page.table(
            "classes",
            "Advanced: by class",
            [label, *counts, *precision, overlap],
            _marked(found["classes"]),
            tab="Advanced mode",
        ),
        page.table(
            "image-classes",
            "Advanced: by image and class",
            [image, label, *counts, *precision, overlap],
            _marked(found["image_classes"]),
            tab="Advanced mode, by image",
            picture="image",
        ),
        page.plots(
            _key(report),
            ("Scores", plots.histogram("Scores", axis, histogram["edges"], sides, "detections")),
        ),
    ]


def _marked(rows: Sequence[Json]) -> list[dict[str, Any]]:
    return [
        {
            **row,
            "differs": row["share"] < 1,
            "tones": {"share": "bad"} if row["share"] < 0.8 else {},
        }
        for row in rows
    ]


def _accuracy(report: Json) -> list[page.Section]:
    accuracy = report["accuracy"]
    if accuracy is None:
        return []
    if "failed" in accuracy:
        return [
            page.heading("Accuracy"),
            page.note(f"Average precision is not given: {accuracy['failed']}", "bad"),
        ]
    rows = []
    for kind, metric in accuracy["metrics"].items():
        for figure, title in _FIGURES.items():
            gap = metric["difference"].get(figure)
            row = {
                "of": _KIND_NAMES[kind],
                "figure": title,
                "a": metric["a"][figure],
                "b": metric["b"][figure],
            }
            if row["a"] is not None and row["b"] is not None:
                row["gap"] = row["b"] - row["a"]
            if gap:
                row["interval"] = f"{gap['low']:+.4f} to {gap['high']:+.4f}"
            rows.append(row)
    columns = [
        page.column("of", "of"),
        page.column("figure", "figure"),
        page.column("a", "A", 4),
        page.column("b", "B", 4),
        page.column("gap", "B minus A", 4),
        page.column("interval", "95 % interval of the difference"),
    ]
    about = (
        f"COCO average precision on {accuracy['images']} annotated images with "
        f"{accuracy['instances']} instances. An interval that contains 0 is no difference."
    )
    sections = [page.heading("Accuracy", about), page.table("ap", "Precision", columns, rows)]
    if accuracy["left_out"]:
        sections.append(page.note(f"{accuracy['left_out']} images are not annotated."))
    return [*sections, page.plots(_key(report), *_curves(accuracy)), _class_table(accuracy)]


def _curves(accuracy: Json) -> list[tuple[str, str]]:
    recalls = np.linspace(0, 1, 101).tolist()
    x, y = plots.Axis("recall", 0, 1), plots.Axis("precision", 0, 1)
    drawn = []
    for kind, metric in accuracy["metrics"].items():
        series = [
            plots.Series(
                f"{side.upper()} at IoU {iou / 100:.2f}",
                side,
                recalls,
                metric[side][f"precision{iou}"],
                dashed=iou == 75,
            )
            for side in "ab"
            for iou in (50, 75)
        ]
        name = f"Precision and recall of {_KIND_NAMES[kind]} (IoU 0.50; dashed 0.75)"
        drawn.append((name, plots.line_plot(name, x, y, series)))
    return drawn


def _class_table(accuracy: Json) -> page.Section:
    metrics = accuracy["metrics"]
    kind = "mask" if "mask" in metrics else "box"
    rows = []
    for name in metrics[kind]["a"]["classes"]:
        a, b = (metrics[kind][side]["classes"].get(name, {}) for side in "ab")
        row = {"label": name, "a": a.get("ap"), "b": b.get("ap"), "a50": a.get("ap50")}
        row |= {"b50": b.get("ap50"), "box_a": None, "box_b": None}
        row |= {
            f"box_{side}": metrics["box"][side]["classes"].get(name, {}).get("ap") for side in "ab"
        }
        if row["a"] is not None and row["b"] is not None:
            row["gap"] = row["b"] - row["a"]
            row["differs"] = abs(row["gap"]) > 1e-9
        rows.append(row)
    rows.sort(key=lambda row: row.get("gap", 0.0))
    columns = [
        page.column("label", "class"),
        page.column("a", f"A, {kind} AP", 3),
        page.column("b", f"B, {kind} AP", 3),
        page.column("gap", "B minus A", 3),
        page.column("a50", f"A, {kind} AP50", 3),
        page.column("b50", f"B, {kind} AP50", 3),
        page.column("box_a", "A, box AP", 3),
        page.column("box_b", "B, box AP", 3),
    ]
    about = "Classes with few instances jump: one detection more can be worth 0.5."
    return page.table("class-ap", "Precision by class", columns, rows, about=about)


def _pictures() -> list[page.Section]:
    return [
        page.heading("Pictures"),
        page.viewer(
            "Where they differ most",
            "Solid: matched. Dashed and pink: without a partner in the other model.",
        ),
    ]


def _conditions(report: Json) -> list[page.Section]:
    rows = condition_rows(report)
    columns = [page.column("name", "name"), page.column("value", "value")]
    return [page.heading("Conditions"), page.table("conditions", "Conditions", columns, rows)]


def _model_line(model: Json) -> str:
    return (
        f"{model['name']} ({model['path']}), {model['family']}, {model['weights']} weights, "
        f"{model['size_bytes'] / 1e6:.2f} MB, computes in {model['computes_in']} on "
        f"{', '.join(model['devices'])}"
    )


def _key(report: Json) -> dict[str, str]:
    return {side: side.upper() for side in report["models"]}
