"""What the report's page shows, made of its JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from backend.corrections.report.plots import report_plots
from backend.corrections.report.text import (
    COUNT_NAMES,
    FATE_NAMES,
    GROUP_NAMES,
    head_lines,
    shape_lines,
    shown_label,
    time_lines,
)
from backend.runtime.page import document as page

Json = Mapping[str, Any]


def report_sections(
    report: Json, pictures: Sequence[str], lost: Sequence[str]
) -> list[page.Section]:
    """All of the page, from `report_json`. `pictures`: their names; `lost`: why one is missing."""
    head = [page.note(line) for line in head_lines(report)]
    if not report["tasks"]["annotations"]:
        return head
    return [
        *head,
        page.cards(*_cards(report)),
        page.plots({}, *report_plots(report)),
        *_changes(report),
        *_scores(report),
        *_time(report),
        *_versions(report),
        *_confusions(report),
        *_worst(report, pictures, lost),
    ]


def _cards(report: Json) -> Iterator[tuple[str, str, str, str]]:
    total = report["total"]
    predicted, final = total["predicted"], total["final"]
    yield (
        "Kept as it was",
        _percent(total["kept_share"]),
        f"{total['kept']} of {predicted} predicted objects",
        "",
    )
    yield "Precision", _percent(total["precision"]), f"{total['right']} of {predicted} right", ""
    yield "Recall", _percent(total["recall"]), f"{total['right']} of {final} in the end", ""
    mean_iou = total["mean_iou"]
    yield (
        "Mean IoU",
        "–" if mean_iou is None else f"{mean_iou:.3f}",
        "of predicted and final shapes",
        "",
    )
    saved = report["time"]["saved"]
    if saved is None:
        yield "Time saved", "–", "no control group", ""
    elif saved["low"] is None:
        yield "Time saved", _percent(saved["share"]), "too few tasks for an interval", ""
    else:
        tone = "good" if saved["low"] > 0 else "bad" if saved["high"] < 0 else ""
        rests = f"{saved['level']:.0%} within {saved['low']:.0%} to {saved['high']:.0%}"
        yield "Time saved", _percent(saved["share"]), rests, tone


def _changes(report: Json) -> list[page.Section]:
    rows = [{**row, "label": shown_label(row["label"])} for row in report["labels"]]
    columns = [
        page.column("label", "label"),
        page.column("predicted", "predicted", 0),
        page.column("final", "in the end", 0, "objects in the final annotations"),
        *(page.column(name, name, 0, FATE_NAMES[name]) for name in COUNT_NAMES),
        page.column("relabelled_to", "relabelled to it", 0, "predicted under another label"),
        page.column("precision", "precision", 3, "right ones of those predicted"),
        page.column("recall", "recall", 3, "right ones of those in the end"),
        page.column("mean_iou", "mean IoU", 3, "where the label stayed"),
    ]
    return [
        page.heading("What people changed", " ".join(shape_lines(report))),
        page.table("labels", "By label", columns, rows),
    ]


def _scores(report: Json) -> list[page.Section]:
    rows = report["scores"]
    if not rows:
        return []
    columns = [
        page.column("band", "score"),
        page.column("predicted", "predicted", 0),
        *(page.column(name, name, 0, FATE_NAMES[name]) for name in COUNT_NAMES[:4]),
        page.column("precision", "precision", 3),
        page.column("mean_iou", "mean IoU", 3),
        page.column(
            "recall_from_here", "recall from here", 3,
            "of all objects, were only predictions of at least this score shown",
        ),
    ]  # fmt: skip
    shown = [{**row, "band": f"{row['low']:.1f} to {row['high']:.1f}"} for row in rows]
    about = (
        "Where the model's score means something, precision rises with it. Predictions below the "
        "threshold were not shown to anybody, and are not counted here."
    )
    if report["without_score"]:
        about += f" {report['without_score']} predicted objects have no score."
    return [
        page.heading("By score", about),
        page.table("scores", "Bands of score", columns, shown),
    ]


def _time(report: Json) -> list[page.Section]:
    groups = report["time"]["groups"]
    rows = [
        {"group": GROUP_NAMES[name].strip(), **group}
        for name, group in groups.items()
        if group["tasks"] or group["without_time"]
    ]
    columns = [
        page.column("group", "tasks"),
        page.column("tasks", "number", 0),
        page.column("median_s", "median, s", 1),
        page.column("lower_quartile_s", "a quarter below, s", 1),
        page.column("upper_quartile_s", "a quarter above, s", 1),
        page.column("median_instances", "objects, median", 1),
        page.column("median_s_an_instance", "s an object, median", 1),
        page.column("without_time", "without time", 0, "Label Studio has no time for them"),
    ]
    about = " ".join(time_lines(report))
    return [page.heading("Time", about), page.table("time", "Time a task", columns, rows)]


def _versions(report: Json) -> list[page.Section]:
    rows = report["versions"]
    if not rows:
        return []
    columns = [
        page.column("model_version", "model version"),
        page.column("tasks", "tasks", 0),
        page.column("since", "first annotation"),
        page.column("until", "last annotation"),
        page.column("kept_share", "kept", 3, "share of the predicted objects"),
        page.column("precision", "precision", 3),
        page.column("recall", "recall", 3),
        page.column("mean_iou", "mean IoU", 3),
        page.column("median_s", "median, s", 1, "of tasks that began with the prediction"),
    ]
    shown = [
        {**row, "since": row["first"][:10], "until": row["last"][:10],
         "median_s": row["time"]["median_s"]}
        for row in rows
    ]  # fmt: skip
    about = (
        "In the order of the first annotation. Versions that people corrected on different tasks "
        "differ by the tasks, too."
    )
    return [
        page.heading("By model version", about),
        page.table("versions", "Model versions", columns, shown),
    ]


def _confusions(report: Json) -> list[page.Section]:
    columns = [
        page.column("predicted", "predicted"),
        page.column("final", "relabelled to"),
        page.column("number", "number", 0),
        page.column("share", "share", 3, "of the predictions of the label that were left in"),
        page.column("suggestion", "suggestion"),
    ]
    rows = [{**row, "tones": {"suggestion": "wrap"}} for row in report["confusions"]]
    if not rows:
        return [page.heading("Confusions", "No label is often replaced with another.")]
    about = "Labels that people replace with others. A suggestion is only that: nothing is changed."
    return [page.heading("Confusions", about), page.table("confusions", "Pairs", columns, rows)]


def _worst(report: Json, pictures: Sequence[str], lost: Sequence[str]) -> list[page.Section]:
    if not report["worst"]:
        return [page.heading("Most corrections", "No task was corrected.")]
    base = f"{report['label_studio'].rstrip('/')}/projects/{report['project']['id']}/data?task="
    rows = []
    for row in report["worst"]:
        name = picture_name(row["task"], row["annotation"])
        drawn = next((each for each in pictures if f"{each},".startswith(f"{name},")), None)
        rows.append({**row, "name": name, "drawn": drawn, "open": f"{base}{row['task']}"})
    columns = [
        page.column("name", "task"),
        page.column("effort", "effort", 2, "1 for each object drawn, deleted or relabelled, and "
                    "1 - IoU for each reshaped"),
        *(page.column(name, name, 0, FATE_NAMES[name]) for name in COUNT_NAMES),
        page.column("mean_iou", "mean IoU", 3),
        page.column("time_s", "time, s", 0),
        page.column("open", "Label Studio"),
    ]  # fmt: skip
    about = "A click on a task with a picture shows it."
    sections = [
        page.heading("Most corrections"),
        page.table("worst", "Tasks with most corrections", columns, rows, about=about,
                   picture="drawn", link="open", link_text="open"),
    ]  # fmt: skip
    sections += [page.note(line, "bad") for line in lost]
    if pictures:
        sections.append(
            page.viewer(
                "Predicted, and what people made of it",
                "",
                key=FATE_NAMES,
                toggle="Only what changed",
            )
        )
    return sections


def picture_name(task_id: int, annotation_id: int, number: int | None = None) -> str:
    """`number`: of an image, from 0, in a task with several."""
    image = "" if number is None else f", image {number + 1}"
    return f"task {task_id}, annotation {annotation_id}{image}"


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"
