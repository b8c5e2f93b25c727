"""`labelvino review`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.commands import options


@click.command()
@click.option("--project", required=True, metavar="ID|TITLE", help="The project.")
@options.model
@options.device
@options.precision
@click.option(
    "--min-confidence", type=click.FloatRange(0.05, 1), default=0.5, show_default=True,
    help="Findings below it are left out.",
)  # fmt: skip
@click.option(
    "--limit", type=click.IntRange(0), default=20, show_default=True,
    help="Rows of a table; JSON, sheets and tasks have all.",
)  # fmt: skip
@click.option(
    "--sheets", type=click.Path(path_type=Path, file_okay=False),
    help="Write pictures of the findings to this folder, by label.",
)  # fmt: skip
@click.option(
    "--write", is_flag=True, help="Write them into the tasks' data, as columns of the Data Manager."
)
@click.option("--clear", is_flag=True, help="Remove these columns again, and end.")
@options.label_studio_url
@options.config
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
def review(config: Path | None, **given: Any) -> None:
    """Look for faults in a project's annotations, with a model.

    Likely missing, spurious and mislabelled regions, the surest first. Nothing is changed unless
    --write or --clear says so, and annotations never are. docs/review.md says more.
    """
    from backend.corrections.review.command import ReviewWishes, run_review

    if given["clear"] and (given["write"] or given["sheets"] or given["as_json"]):
        raise click.UsageError("--clear goes with no --write, --sheets or --json.")
    names = ("model", "device", "precision", "label_studio_url")
    settings = options.settings_of(config, **{name: given.pop(name) for name in names})
    run_review(settings, ReviewWishes(**given))
