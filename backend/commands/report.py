"""`labelvino report`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.commands import options
from backend.commands.share import SHARE


@click.command()
@click.option("--project", required=True, metavar="ID|TITLE", help="The project.")
@options.label_studio_url
@click.option(
    "--html", type=click.Path(path_type=Path), help="Also write a page with plots and pictures."
)
@click.option(
    "--pictures", type=click.IntRange(0, 200), default=12, show_default=True,
    help="With --html: of the tasks with most corrections.",
)  # fmt: skip
@click.option(
    "--all-annotations", is_flag=True, help="Every annotation of a task, not only the last one."
)
@click.option(
    "--confusion-share", type=SHARE, default="10%", show_default=True,
    help="Of a label's predictions, from which on its relabelling is reported.",
)  # fmt: skip
@options.config
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def report(label_studio_url: str | None, config: Path | None, **given: Any) -> None:
    """What people changed: predictions against the annotations that came of them.

    By label, score and model version: kept, reshaped, relabelled, deleted, added; precision,
    recall and overlap; the time a task takes with and without pre-annotation. Nothing is written
    to Label Studio. docs/corrections.md says more. Needs a token (docs/tokens.md).
    """
    from backend.corrections.report.command import ReportWishes, run_report

    settings = options.settings_of(config, label_studio_url=label_studio_url)
    run_report(settings, ReportWishes(**given))
