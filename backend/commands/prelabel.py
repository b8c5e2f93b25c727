"""`labelvino prelabel`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.commands import options
from backend.commands.share import SHARE


@click.command()
@click.option("--project", required=True, metavar="ID|TITLE", help="The project.")
@options.model
@options.device
@options.precision
@options.threshold
@options.controls
@options.label_studio_url
@options.config
@click.option("--view", "view_id", type=click.IntRange(1), help="Only a Data Manager tab's tasks.")
@click.option("--only-unlabelled", is_flag=True, help="Leave tasks that have an annotation.")
@click.option("--sample", type=click.IntRange(1), help="Only so many tasks, chosen by chance.")
@click.option("--limit", type=click.IntRange(1), help="Only the first so many tasks.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of what is left to chance.")
@click.option(
    "--only-missing", is_flag=True, help="Leave out regions that annotations cover already."
)
@click.option(
    "--covered-share", type=SHARE, default="50%", show_default=True,
    help="Of a region's area, from which on it counts as covered.",
)  # fmt: skip
@click.option(
    "--leave-blank", "blank_share", type=SHARE, default="0%", show_default=True,
    help="Share of the tasks to leave without, marked, for comparison.",
)  # fmt: skip
@click.option("--fill-blank", is_flag=True, help="Also tasks left blank by an earlier job.")
@click.option("--replace", is_flag=True, help="Also tasks that have this version, anew.")
@click.option("--failed", type=click.Path(path_type=Path), help="Write what failed to this file.")
@click.option("--retry", type=click.Path(path_type=Path), help="Only what failed by this file.")
@click.option("--rate", type=click.FloatRange(0.01), help="Tasks written a second, at the most.")
@options.queue
@click.option("--no-wait", is_flag=True, help="With a queue: end when the jobs are in it.")
@click.option("--watch", is_flag=True, help="Keep on for tasks that arrive, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def prelabel(config: Path | None, **given: Any) -> None:
    """Write predictions for a project's tasks into Label Studio.

    Tasks that have a prediction of this model version are skipped, so a second run completes an
    interrupted one. With --queue, workers on any machine do the work (docs/bulk.md). Needs a token
    (docs/tokens.md).
    """
    from backend.bulk.command import JobWishes, run_job

    names = ("model", "device", "precision", "score_threshold", "controls", "label_studio_url")
    overrides = {name: given.pop(name) for name in names} | {"queue_url": given.pop("queue")}
    settings = options.settings_of(config, **overrides)
    if given["retry"] and given["view_id"]:
        raise click.UsageError("--retry names the tasks itself: leave out --view.")
    if given["watch"] and (given["retry"] or given["dry_run"]):
        raise click.UsageError("--watch goes neither with --retry nor with --dry-run.")
    if given["no_wait"] and (given["watch"] or settings.queue_url is None):
        raise click.UsageError("--no-wait needs a queue, and goes not with --watch.")
    run_job(settings, JobWishes(**given))
