"""What `labelvino export` tells at its end."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

_REASONS_SHOWN = 10


@dataclass
class ExportReport:
    """What came of an export.

    left_out        tasks without an annotation, skipped ones too
    turned          images that their EXIF data turns
    without_label   regions that have no label, and so no category
    without_pixels  regions that cover no pixel
    labels          instances written, by category name
    unread, failed  task id and reason: of one region, of a whole task
    """

    project: str
    tasks: int = 0
    images: int = 0
    left_out: int = 0
    turned: int = 0
    without_label: int = 0
    without_pixels: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    unread: list[tuple[int, str]] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)

    def tell(self, target: Path, *, as_json: bool) -> None:
        """JSON to stdout, or some lines to stderr."""
        if as_json:
            click.echo(json.dumps(self._content(target), indent=2, ensure_ascii=False))
            return
        click.echo(
            f"project {self.project}: {sum(self.labels.values())} instances of "
            f"{len(self.labels)} labels, {self.images} images, {self.tasks} tasks; {self.left_out} "
            f"tasks without an annotation left out; wrote {target}",
            err=True,
        )
        for sentence in self._remarks():
            click.echo(f"labelvino: {sentence}", err=True)

    def _remarks(self) -> list[str]:
        small = (
            (self.without_label, "regions without a label left out"),
            (self.without_pixels, "regions without a pixel left out"),
            (self.turned, "images are turned by their EXIF data: what reads them must apply it"),
        )
        remarks = [f"{number} {what}" for number, what in small if number]
        remarks += self.notes
        for what, found in (("a region was not read", self.unread), ("failed", self.failed)):
            remarks += [f"task {task}: {what}: {reason}" for task, reason in found[:_REASONS_SHOWN]]
            if len(found) > _REASONS_SHOWN:
                remarks.append(f"... and {len(found) - _REASONS_SHOWN} more")
        return remarks

    def _content(self, target: Path) -> dict[str, Any]:
        return {
            "project": self.project,
            "file": str(target),
            "tasks": self.tasks,
            "tasks_without_annotation": self.left_out,
            "images": self.images,
            "images_turned_by_exif": self.turned,
            "instances": dict(sorted(self.labels.items())),
            "regions_without_label": self.without_label,
            "regions_without_pixels": self.without_pixels,
            "regions_not_read": [{"task": task, "reason": why} for task, why in self.unread],
            "failed": [{"task": task, "reason": why} for task, why in self.failed],
            "notes": self.notes,
        }
