"""The plots of the report's page, made of its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from backend.corrections.report.text import COUNT_NAMES, FATE_NAMES, GROUP_NAMES, shown_label
from backend.runtime.page import plots
from backend.runtime.page.document import plot

Json = Mapping[str, Any]
Plot = dict[str, Any]
_LABELS_DRAWN = 15
_SHARE = plots.Axis("share", 0, 1)


def report_plots(report: Json) -> Iterator[Plot]:
    """Those that have anything to show."""
    if report["labels"]:
        yield _labels(report)
    if report["reshaped_iou"]["number"]:
        yield _shapes(report)
    if report["scores"]:
        yield _scores(report)
    if any(group["lower_quartile_s"] is not None for group in report["time"]["groups"].values()):
        yield _time(report)
    if len(report["versions"]) > 1:
        yield _trend(report)


def _labels(report: Json) -> Plot:
    bars = [
        (shown_label(row["label"]), {name: row[name] for name in COUNT_NAMES})
        for row in report["labels"]
    ]
    if len(bars) > _LABELS_DRAWN:
        rest = bars[_LABELS_DRAWN - 1 :]
        together = {name: sum(counts[name] for _, counts in rest) for name in COUNT_NAMES}
        bars = [*bars[: _LABELS_DRAWN - 1], (f"{len(rest)} others", together)]
    top = plots.nice_top([sum(counts.values()) for _, counts in bars])
    drawn = plots.stacked_bars("Changes by label", plots.Axis("objects", 0, top), bars)
    return plot("Changes by label", drawn, FATE_NAMES)


def _shapes(report: Json) -> Plot:
    shapes = report["reshaped_iou"]
    axis = plots.Axis("IoU with what was predicted", 0, 1)
    counts = {"reshaped": shapes["counts"]}
    drawn = plots.histogram("Reshaped", axis, shapes["edges"], counts, "objects")
    return plot("How far shapes were changed", drawn, {})


def _scores(report: Json) -> Plot:
    rows = report["scores"]
    middles = [(row["low"] + row["high"]) / 2 for row in rows]
    recalls = [(row["low"], row["recall_from_here"]) for row in rows]
    recalls = [(low, recall) for low, recall in recalls if recall is not None]
    series = [
        plots.Series("precision", "a", middles, [row["precision"] for row in rows]),
        plots.Series("recall", "b", [low for low, _ in recalls], [r for _, r in recalls]),
    ]
    drawn = plots.line_plot("By score", plots.Axis("score", 0, 1), _SHARE, series)
    return plot("By score", drawn, {"a": "precision of a band", "b": "recall from here on"})


def _time(report: Json) -> Plot:
    spreads = [
        (
            GROUP_NAMES[name].strip(),
            "b" if name == "left_blank" else "a",
            plots.Spread(group["lower_quartile_s"], group["median_s"], group["upper_quartile_s"]),
        )
        for name, group in report["time"]["groups"].items()
        if group["lower_quartile_s"] is not None
    ]
    top = plots.nice_top([spread.high for _, _, spread in spreads])
    drawn = plots.spreads("Time a task", plots.Axis("seconds a task", 0, top), spreads)
    return plot("Time a task: median, middle half", drawn, {})


def _trend(report: Json) -> Plot:
    rows = list(enumerate(report["versions"], 1))
    names = {"a": "precision", "b": "recall", "truth": "kept"}
    series = []
    for side, figure in (("a", "precision"), ("b", "recall"), ("truth", "kept_share")):
        known = [(number, row[figure]) for number, row in rows if row[figure] is not None]
        x, y = [number for number, _ in known], [value for _, value in known]
        series.append(plots.Series(names[side], side, x, y))
    axis = plots.Axis("model version, as in the table below", 0.5, len(rows) + 0.5)
    drawn = plots.line_plot("By model version", axis, _SHARE, series, points=True)
    return plot("By model version", drawn, names)
