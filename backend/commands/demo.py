"""`labelvino demo`"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.commands import options
from backend.runtime.errors import DemoError

if TYPE_CHECKING:
    from backend.demo.run import DemoOptions, RunningDemo

_port = click.IntRange(1, 65535)


@click.command()
@click.option(
    "--model",
    type=click.Path(path_type=Path),
    help="An IR of your own, with --images (default: the demo's model and scenes).",
)
@click.option("--images", type=click.Path(path_type=Path), help="A folder of images of your own.")
@click.option(
    "--max-images", type=click.IntRange(1), default=100, show_default=True,
    help="How many of them.",
)  # fmt: skip
@click.option("--check", is_flag=True, help="Set up, see that every task has regions, and end.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="Where the demo keeps its data (default ~/.labelvino/demo).",
)
@click.option(
    "--environment",
    type=click.Path(path_type=Path),
    help="Where Label Studio is installed (default ~/.labelvino).",
)
@click.option("--reset", is_flag=True, help="Start over, without what was annotated.")
@click.option(
    "--port", "backend_port", type=_port, help="Of the backend (default 9090 or the next free one)."
)
@click.option(
    "--label-studio-port",
    "studio_port",
    type=_port,
    help="Of Label Studio (default 8080 or the next free one).",
)
@options.device
@options.precision
@options.threshold
def demo(
    data: Path | None,
    environment: Path | None,
    check: bool,
    device: str | None,
    precision: str | None,
    score_threshold: float | None,
    **given: Any,
) -> None:
    """Show it all: Label Studio with a project, images and predictions, until Ctrl-C.

    Installs Label Studio into an environment of its own the first time, starts it and the backend
    on this machine only, and tells where to look. What is annotated is there again next time.
    """
    from backend.demo.run import DemoOptions, running_demo

    serve_options = {
        "--device": device, "--precision": precision, "--score-threshold": score_threshold
    }  # fmt: skip
    folder = data or Path.home() / ".labelvino" / "demo"
    wanted = DemoOptions(
        folder=folder.expanduser().resolve(),
        environment=environment.expanduser().resolve() if environment else None,
        serve_options=tuple(
            text
            for name, value in serve_options.items()
            if value is not None
            for text in (name, str(value))
        ),
        **given,
    )
    if check:
        _check(wanted, keep=data is not None)
        return
    with running_demo(wanted) as running:
        click.echo(_told(running, wanted.folder))
        running.wait()


def _check(wanted: DemoOptions, *, keep: bool) -> None:
    """The demo in a folder that is thrown away, unless one is given."""
    from backend.demo.run import running_demo

    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="labelvino-demo-") as made:
        chosen = wanted if keep else replace(wanted, folder=Path(made))
        with running_demo(chosen) as running:
            tally = running.tally
    line = (
        f"{tally.tasks} tasks, {tally.predicted} with a prediction, {tally.regions} regions, "
        f"{time.monotonic() - start:.0f} s"
    )
    if tally.without_regions or not tally.tasks:
        named = ", ".join(str(task_id) for task_id in tally.without_regions[:10])
        raise DemoError(f"the check of the demo failed: {line}; tasks without regions: {named}.")
    click.echo(f"demo ok: {line}")


def _told(demo: RunningDemo, folder: Path) -> str:
    return f"""
  Label Studio   {demo.project_url}
  sign in as     {demo.user}
  password       {demo.password}
  backend        {demo.backend_url}, logs in {folder / "logs"}

  {demo.tally.tasks} tasks with {demo.tally.regions} predicted regions are there. Try next:
    1. Sign in and open a task: the outlines are the model's.
    2. Correct one, press Submit, go on to the next.
    3. Delete one, switch Auto-Annotation on, and click the thing with the smart point.
    4. Your own model and images: labelvino demo --model my.xml --images folder

  Ctrl-C ends both. What you annotate is there again next time.
"""
