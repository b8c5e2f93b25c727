"""Speed and conditions of a comparison or a benchmark, from their JSON: rows and plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from backend.runtime.page import plots

_HINTS = {"latency": "latency hint", "throughput": "throughput hint"}
Json = Mapping[str, Any]


def performance_rows(report: Json, sides: str) -> list[dict[str, Any]]:
    """One row a figure with a column a side; `ratio_of`: the ratio that belongs to it."""
    performance = report["performance"]
    of = {side: performance[side] for side in sides}
    rows: list[dict[str, Any]] = []

    def add(figure: str, values: Sequence[float | None], ratio_of: str = "") -> None:
        row = {"figure": figure, "ratio_of": ratio_of}
        rows.append(row | dict(zip(sides, values, strict=True)))

    for name in ("p50", "p95", "p99"):
        add(
            f"latency {name}, ms",
            [of[side]["latency"][f"{name}_ms"] for side in sides],
            "latency" if name == "p50" else "",
        )
    for hint, title in _HINTS.items():
        if all(hint in of[side]["throughput"] for side in sides):
            figures = [of[side]["throughput"][hint] for side in sides]
            add(
                f"images a second, {title}",
                [figure["images_per_s"] for figure in figures],
                f"throughput_{hint}",
            )
    if all(of[side]["start"] for side in sides):
        starts = [of[side]["start"] for side in sides]
        add("load without model cache, ms", [1e3 * s["load_s"] for s in starts], "load")
        add("load with model cache, ms", [1e3 * s["load_cached_s"] for s in starts], "load_cached")
        add("first answer, ms", [1e3 * s["first_s"] for s in starts], "first")
        add("peak memory, MB", [s["peak_bytes"] / 1e6 for s in starts], "memory")
        add("of which with the model, MB", [s["own_bytes"] / 1e6 for s in starts])
    return rows


def performance_plots(performance: Json, sides: str) -> list[tuple[str, str]]:
    """Distribution of latencies, and the rounds of each hint."""
    values = {side: performance[side]["latency"]["values_ms"] for side in sides}
    together = np.concatenate(list(values.values()))
    high = plots.nice_top([float(np.quantile(together, 0.99))])
    edges = np.linspace(0, high, 41)
    counts = {
        side: np.histogram(np.minimum(each, high), edges)[0].tolist()
        for side, each in values.items()
    }
    axis = plots.Axis("time for an image, ms", 0, high)
    drawn = [("Latency", plots.histogram("Latency", axis, edges.tolist(), counts))]
    for hint, title in _HINTS.items():
        rounds = {side: performance[side]["throughput"].get(hint, {}) for side in sides}
        if not all(rounds.values()):
            continue
        shown = {side: each["rounds"] for side, each in rounds.items()}
        top = plots.nice_top([value for each in shown.values() for value in each])
        name = f"Throughput, {title}"
        drawn.append((name, plots.dots(name, plots.Axis("images a second", 0, top), shown)))
    return drawn


def condition_rows(report: Json) -> list[dict[str, str]]:
    """Machine, versions and models, for people."""
    machine = report["machine"]
    rows = [
        ("date", machine["date"]),
        ("devices", devices(machine)),
        ("cores", str(machine["cores"])),
        ("memory", f"{machine['memory_bytes'] / 1e9:.1f} GB"),
        ("load when it began", "unknown" if machine["load"] is None else f"{machine['load']:.1f}"),
        ("system", machine["system"]),
        ("versions", ", ".join(f"{k} {v}" for k, v in machine["versions"].items())),
        ("asked for", f"{report['conditions']['device']}, {report['conditions']['precision']}"),
    ]
    for side, model in report["models"].items():
        rows += [
            (f"{side.upper()}, file", model["path"]),
            (f"{side.upper()}, digest", model["digest"]),
            (f"{side.upper()}, resize", model["resize"]),
        ]
    return [{"name": name, "value": value} for name, value in rows]


def devices(machine: Json) -> str:
    """All of them, with the precisions they compute in."""
    return "; ".join(f"{name} {full} ({able})" for name, full, able in machine["devices"])
