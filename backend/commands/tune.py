"""`labelvino tune`"""

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
@options.controls
@options.label_studio_url
@options.config
@click.option(
    "--objective",
    "tune_objective",
    type=click.Choice(["effort", "f1"]),
    help="What is made best (default effort: seconds of correcting).",
)
@click.option(
    "--delete-s", "tune_delete_s", type=click.FloatRange(0),
    help="Seconds to delete a false positive (default 5).",
)  # fmt: skip
@click.option(
    "--draw-s", "tune_draw_s", type=click.FloatRange(0, min_open=True),
    help="Seconds to draw what was missed (default 30).",
)  # fmt: skip
@click.option(
    "--reshape-s", "tune_reshape_s", type=click.FloatRange(0),
    help="Seconds to correct a poor outline (default 15).",
)  # fmt: skip
@click.option(
    "--reshape-below", "tune_reshape_below", type=click.FloatRange(0.5, 1),
    help="Overlap (IoU) below which an outline is poor (default 0.75).",
)  # fmt: skip
@click.option(
    "--tasks", "tune_tasks", type=click.IntRange(20), metavar="N",
    help="Look at N corrected tasks at the most, those added last (default 2000).",
)  # fmt: skip
@click.option("--apply", is_flag=True, help="Put better thresholds in force.")
@click.option("--reset", is_flag=True, help="Remove those that are in force, and end.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is left to chance.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def tune(config: Path | None, **given: Any) -> None:
    """Look for better score thresholds in what people corrected.

    Reads the project's annotations, and the model's candidates below the thresholds (from the
    result cache; the model runs for what it does not have). Shows old and new thresholds by label,
    and what tasks that were not looked at gain by them; proposes nothing where no gain is shown.
    The network is not trained. docs/tuning.md says more. Needs a token (docs/tokens.md).
    """
    from backend.corrections.tuning.command import TuneWishes, run_tune

    if given["apply"] and given["reset"]:
        raise click.UsageError("--apply and --reset go not together.")
    names = [name for name in given if name.startswith("tune_")]
    names += ["model", "device", "precision", "controls", "label_studio_url"]
    settings = options.settings_of(config, **{name: given.pop(name) for name in names})
    run_tune(settings, TuneWishes(**given))
