"""A review as JSON and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.corrections.review.findings import KINDS
from backend.corrections.review.reviewer import TaskFinding

_WIDTH_OF_PIPES = 120


def finding_json(found: TaskFinding) -> dict[str, Any]:
    """`label`: what is annotated; `model_label`, `score`: what the model sees; None for nothing."""
    finding = found.finding
    seen, annotated, instance = finding.seen, finding.annotated, finding.instance
    return {
        "kind": finding.kind,
        "confidence": round(finding.confidence, 4),
        "task": found.task_id,
        "annotation": found.annotation_id,
        "label": annotated.label if annotated is not None else None,
        "model_label": seen.label if seen is not None else None,
        "score": round(seen.score or 0.0, 4) if seen is not None else None,
        "region_ids": list(annotated.region_ids) if annotated is not None else [],
        "image": instance.frame.to_name,
        "item_index": instance.frame.item_index,
        "box_xyxy_px": [round(value, 2) for value in instance.box_xyxy_px],
    }


def print_findings(findings: Sequence[TaskFinding], limit: int) -> None:
    """The surest `limit` of each kind, on stdout."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_OF_PIPES)
    for kind in KINDS:
        of_kind = [each for each in findings if each.finding.kind == kind]
        if not of_kind:
            continue
        shown = min(limit, len(of_kind))
        of_all = f" of {len(of_kind)}" if shown < len(of_kind) else ""
        table = Table(title=f"{kind}: {shown}{of_all}", title_justify="left")
        for name in ("confidence", "task"):
            table.add_column(name, justify="right")
        for name in ("annotated", "the model sees", "box (px)"):
            table.add_column(name)
        for each in of_kind[:limit]:
            row = finding_json(each)
            sees = f"{row['model_label']} {row['score']:.2f}" if row["model_label"] else "nothing"
            box = ", ".join(f"{value:.0f}" for value in row["box_xyxy_px"])
            table.add_row(
                f"{row['confidence']:.2f}",
                str(row["task"]),
                Text(row["label"] or "nothing"),
                Text(sees),
                box,
            )
        console.print(table)
