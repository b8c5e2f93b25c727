"""`labelvino rethreshold`"""

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
@options.threshold
@options.controls
@options.label_studio_url
@options.config
@click.option("--rate", type=click.FloatRange(0.01), help="Tasks written a second, at the most.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def rethreshold(config: Path | None, **given: Any) -> None:
    """Make a project's predictions anew for new thresholds.

    Tasks that have a prediction of this model get one of the thresholds in force now; what the
    result cache knows costs no inference (LABELVINO_REDIS_URL keeps it between runs). When all have
    it, the older ones are removed. A second run completes an interrupted one.
    """
    from backend.bulk.rethreshold import RethresholdWishes, run_rethreshold

    names = ("model", "device", "precision", "score_threshold", "controls", "label_studio_url")
    settings = options.settings_of(config, **{name: given.pop(name) for name in names})
    run_rethreshold(settings, RethresholdWishes(**given))
