"""What a bulk job tells at its end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from backend.bulk.tally import Tally

_TASKS_SHOWN = 5  # of a reason
_REASONS_SHOWN = 20


@dataclass
class Summary:
    """What came of a run.

    shown        the project or file
    seconds      of work
    from_cache   images that cost no inference; None where that is not known
    what         kind of `shown`
    """

    shown: str
    model_version: str
    tally: Tally = field(default_factory=Tally)
    seconds: float = 0.0
    from_cache: int | None = None
    what: str = "project"

    @contextmanager
    def timed(self) -> Iterator[None]:
        start_s = time.monotonic()
        try:
            yield
        finally:
            self.seconds += time.monotonic() - start_s

    def tell(self, *, as_json: bool) -> None:
        """JSON to stdout, or a few lines and a table of labels to stderr."""
        if as_json:
            click.echo(json.dumps(self._content(), indent=2, ensure_ascii=False))
            return
        tally = self.tally
        rate = f", {self._images_per_s:.1f} images/s" if tally.images and self.seconds else ""
        parts = [f"{tally.done} done ({tally.empty} empty)", f"{len(tally.failed)} failed"]
        parts += [f"{tally.blank} left blank"] if tally.blank else []
        parts += [f"{tally.skipped} skipped"] if tally.skipped else []
        parts += [f"{tally.left} not reached"] if tally.left else []
        click.echo(
            f"{self.what} {self.shown}: {', '.join(parts)} in {self.seconds:.0f} s{rate}; "
            f"version {self.model_version}",
            err=True,
        )
        if self.from_cache is not None and tally.images:
            click.echo(f"  {self.from_cache} of {tally.images} images from the cache", err=True)
        self._tell_reasons()
        if tally.labels:
            self._tell_labels()

    def _tell_reasons(self) -> None:
        """The most frequent ones."""
        reasons = sorted(self._reasons().items(), key=lambda item: -len(item[1]))
        for reason, ids in reasons[:_REASONS_SHOWN]:
            more = f" and {len(ids) - _TASKS_SHOWN} more" if len(ids) > _TASKS_SHOWN else ""
            named = ", ".join(str(task_id) for task_id in ids[:_TASKS_SHOWN])
            click.echo(f"  task {named}{more}: {reason}", err=True)
        if len(reasons) > _REASONS_SHOWN:
            rest = len(reasons) - _REASONS_SHOWN
            click.echo(f"  and {rest} more reasons: --json shows them all", err=True)

    def _tell_labels(self) -> None:
        table = Table("label", box=None, padding=(0, 2))
        table.add_column("regions", justify="right")
        for label, count in self.tally.labels.most_common():
            table.add_row(Text(label), str(count))
        Console(stderr=True, highlight=False).print(table)

    @property
    def _images_per_s(self) -> float:
        return self.tally.images / self.seconds if self.seconds else 0.0

    def _reasons(self) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for task_id, reason in sorted(self.tally.failed.items()):
            found.setdefault(reason, []).append(task_id)
        return found

    def _content(self) -> dict[str, object]:
        tally = self.tally
        return {
            self.what: self.shown,
            "model_version": self.model_version,
            "done": tally.done,
            "empty": tally.empty,
            "left_blank": tally.blank,
            "skipped": tally.skipped,
            "not_reached": tally.left,
            "failed": [
                {"task": task_id, "reason": reason}
                for task_id, reason in sorted(tally.failed.items())
            ],
            "labels": dict(tally.labels.most_common()),
            "images": tally.images,
            "images_from_cache": self.from_cache,
            "images_per_second": round(self._images_per_s, 2),
            "seconds": round(self.seconds, 3),
        }
