"""Progress on a terminal; nothing in logs and pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


@contextmanager
def progress(what: str, total: int) -> Iterator[Callable[..., None]]:
    """Show how many of `total` are done on stderr; call the yielded function with how many more.

    Without an argument it is one more.
    """
    console = Console(stderr=True)
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total, rate="")

        def advance(more: int = 1) -> None:
            speed = bar.tasks[0].speed
            bar.update(task, advance=more, rate=f"{speed:.1f}/s" if speed else "")

        yield advance
