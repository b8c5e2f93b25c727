"""The report on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

Json = Mapping[str, Any]
_WIDTH_OF_PIPES = 150
GROUP_NAMES = {
    "pre_annotated": "with pre-annotation",
    "only_kept": "  all kept",
    "edited": "  edited, none added",
    "added": "  some added",
    "not_known": "  not known",
    "left_blank": "left blank (control)",
    "other": "began with neither",
}
FATE_NAMES = {
    "kept": "kept as it was",
    "reshaped": "reshaped",
    "relabelled": "relabelled",
    "deleted": "deleted (was not there)",
    "added": "added (was missed)",
}
COUNT_NAMES = tuple(FATE_NAMES)


def print_report(report: Json) -> None:
    """Tables on stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_OF_PIPES)
    for line in head_lines(report):
        console.print(line, markup=False)
    if not report["tasks"]["annotations"]:
        return
    if report["total"]["predicted"] or report["total"]["final"]:
        console.print()
        console.print(_labels(report))
        for line in shape_lines(report):
            console.print(line, markup=False)
    if report["scores"]:
        console.print()
        console.print(_scores(report))
    console.print()
    console.print(_time(report))
    for line in time_lines(report):
        console.print(line, markup=False)
    if len(report["versions"]) > 1:
        console.print()
        console.print(_versions(report))
    for row in report["confusions"]:
        console.print(f"\n{confusion_line(row)}\n  {row['suggestion']}", markup=False)


def head_lines(report: Json) -> Iterator[str]:
    """What was compared with what, and what could not be."""
    tasks, project = report["tasks"], report["project"]
    if not tasks["annotations"]:
        yield f"Project {project['id']} '{project['title']}' has no annotation yet."
        return
    yield (
        f"Project {project['id']} '{project['title']}': {tasks['annotations']} annotations; "
        f"{tasks['began_with_prediction']} began with a prediction, {tasks['left_blank']} were "
        "left blank on purpose."
    )
    if tasks["compared_with_current_version"]:
        version = tasks["current_version"]
        of = f"prediction of version {version}" if version else "last prediction"
        yield (
            f"Of {tasks['compared_with_current_version']} Label Studio does not say which one they "
            f"began with, if any: they are compared with their task's {of}, which maybe nobody saw."
        )
    if tasks["without_prediction"]:
        yield (
            f"{tasks['without_prediction']} without a prediction to compare with are not counted "
            "below."
        )
    if tasks["unread_regions"]:
        yield (
            f"Regions that cannot be read and do not count: {tasks['unread_regions']}, the first "
            f"of {tasks['unread'][0]}."
        )


def shape_lines(report: Json) -> Iterator[str]:
    """About the rules, and how far shapes were changed."""
    rules, shapes = report["rules"], report["reshaped_iou"]
    yield (
        f"A prediction was right where its label stayed, and its shape to an IoU of "
        f"{rules['right_iou']:g}."
    )
    if shapes["median"] is not None:
        spread = ""
        if shapes["lower_quartile"] is not None:
            spread = (
                f", half of them within {shapes['lower_quartile']:.2f} to "
                f"{shapes['upper_quartile']:.2f}"
            )
        yield f"IoU of the {shapes['number']} reshaped: median {shapes['median']:.2f}{spread}."
    prompted, added = report["total"]["added_by_prompt"], report["total"]["added"]
    if prompted:
        yield f"Of the {added} added, {prompted} were asked for with a prompt."


def time_lines(report: Json) -> Iterator[str]:
    """What the comparison of times is worth."""
    groups, saved = report["time"]["groups"], report["time"]["saved"]
    if saved is None:
        if not groups["left_blank"]["tasks"]:
            yield (
                "No task left blank on purpose has a time, so that nobody can say what "
                "pre-annotation saves: 'labelvino prelabel --leave-blank 10%' makes the control "
                "group."
            )
        return
    share = saved["share"]
    said = f"{share:.0%} less" if share >= 0 else f"{-share:.0%} more"
    with_it, without = (groups[name]["tasks"] for name in ("pre_annotated", "left_blank"))
    counts = f"{with_it} tasks with, {without} without"
    if saved["low"] is None:
        yield (
            f"The median task took {said} time with pre-annotation ({counts}): too few for an "
            "interval, so this may be chance."
        )
        return
    verdict = "" if saved["low"] > 0 or saved["high"] < 0 else "; no difference is within it"
    yield (
        f"The median task took {said} time with pre-annotation ({counts}); {saved['level']:.0%} "
        f"interval of what it saves: {saved['low']:.0%} to {saved['high']:.0%}{verdict}."
    )


def confusion_line(row: Json) -> str:
    return (
        f"'{row['predicted']}' -> '{row['final']}': {row['number']} of {row['of']} "
        f"({row['share']:.0%})"
    )


def _labels(report: Json) -> Table:
    table = _table("label", "predicted", "final", *COUNT_NAMES, "precision", "recall", "mean IoU")
    for row in [*report["labels"], {"label": "all", **report["total"]}]:
        if row["label"] == "all":
            table.add_section()
        table.add_row(
            Text(shown_label(row["label"])),
            str(row["predicted"]),
            str(row["final"]),
            *(str(row[name]) for name in COUNT_NAMES),
            *(_two(row[name]) for name in ("precision", "recall", "mean_iou")),
        )
    return table


def _scores(report: Json) -> Table:
    names = ("precision", "mean IoU", "recall from here")
    table = _table("score", "predicted", *COUNT_NAMES[:4], *names)
    for row in report["scores"]:
        table.add_row(
            f"{row['low']:.1f} to {row['high']:.1f}",
            str(row["predicted"]),
            *(str(row[name]) for name in COUNT_NAMES[:4]),
            *(_two(row[name]) for name in ("precision", "mean_iou", "recall_from_here")),
        )
    return table


def _time(report: Json) -> Table:
    table = _table("time a task", "tasks", "median s", "half within s", "objects", "s an object")
    for name, group in report["time"]["groups"].items():
        table.add_row(
            GROUP_NAMES[name],
            str(group["tasks"]),
            _whole(group["median_s"]),
            within(group),
            _whole(group["median_instances"]),
            _whole(group["median_s_an_instance"]),
        )
    return table


def _versions(report: Json) -> Table:
    table = _table("model version", "tasks", "since", "kept", "precision", "recall", "median s")
    for row in report["versions"]:
        table.add_row(
            Text(row["model_version"]),
            str(row["tasks"]),
            row["first"][:10],
            *(_two(row[name]) for name in ("kept_share", "precision", "recall")),
            _whole(row["time"]["median_s"]),
        )
    return table


def within(group: Json) -> str:
    """The quartiles of a group's times."""
    if group["lower_quartile_s"] is None:
        return "-"
    return f"{group['lower_quartile_s']:.0f} to {group['upper_quartile_s']:.0f}"


def shown_label(label: str) -> str:
    return label or "(no label)"


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _whole(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
