"""`labelvino prelabel`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from backend.commands import options
from backend.commands.share import SHARE

_OFFLINE = frozenset({"tasks", "label_config", "out", "image_root", "image_prefix"})
_BOTH = frozenset({"labels", "limit", "replace", "as_json"})
_ONLINE = frozenset(
    {
        "project", "view_id", "only_unlabelled", "sample", "seed", "only_missing", "covered_share",
        "blank_share", "fill_blank", "failed", "retry", "rate", "queue", "no_wait", "watch",
        "dry_run",
    }
)  # fmt: skip


@click.command()
@click.option("--project", metavar="ID|TITLE", help="The project.")
@click.option(
    "--tasks",
    type=click.Path(path_type=Path),
    help="Instead of a project: a task file, a COCO file or a folder of images.",
)
@click.option(
    "--label-config", type=click.Path(path_type=Path), help="With --tasks: the labelling config."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="With --tasks: file to write, for importing."
)
@click.option(
    "--image-root",
    type=click.Path(path_type=Path),
    help="With --tasks: where relative paths count from, else from the file or folder.",
)
@click.option(
    "--image-prefix",
    default="",
    help="Of a COCO file or folder: goes before the file name in the tasks' address.",
)
@options.model
@options.device
@options.precision
@options.threshold
@options.controls
@options.label_studio_url
@options.config
@click.option("--view", "view_id", type=click.IntRange(1), help="Only a Data Manager tab's tasks.")
@click.option("--only-unlabelled", is_flag=True, help="Leave tasks that have an annotation.")
@click.option(
    "--label", "labels", multiple=True, metavar="NAME",
    help="Only regions with this label of the config; may be repeated.",
)  # fmt: skip
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
@click.option(
    "--replace", is_flag=True, help="Also tasks that have this version (or the file), anew."
)
@click.option("--failed", type=click.Path(path_type=Path), help="Write what failed to this file.")
@click.option("--retry", type=click.Path(path_type=Path), help="Only what failed by this file.")
@click.option("--no-cache", is_flag=True, help="Leave out the result cache.")
@click.option("--rate", type=click.FloatRange(0.01), help="Tasks written a second, at the most.")
@options.queue
@click.option("--no-wait", is_flag=True, help="With a queue: end when the jobs are in it.")
@click.option("--watch", is_flag=True, help="Keep on for tasks that arrive, until Ctrl-C.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and end.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def prelabel(context: click.Context, /, config: Path | None, **given: Any) -> None:
    """Write predictions for a project's tasks into Label Studio, or with --tasks into a file.

    What is done already is left alone, so a second run completes an interrupted one. With --queue,
    workers on any machine do the work. docs/bulk.md says more. --project needs a token
    (docs/tokens.md).
    """
    from backend.bulk.command import JobWishes, run_job
    from backend.bulk.offline.command import OfflineWishes, run_offline

    names = ("model", "device", "precision", "score_threshold", "controls", "label_studio_url")
    overrides = {name: given.pop(name) for name in names} | {"queue_url": given.pop("queue")}
    no_cache = given.pop("no_cache")
    overrides["result_cache"] = False if no_cache else None
    _check_mode(context, offline=given["tasks"] is not None)
    settings = options.settings_of(config, **overrides)
    if given["tasks"] is not None:
        run_offline(settings, OfflineWishes(**{name: given[name] for name in _OFFLINE | _BOTH}))
        return
    for name in _OFFLINE:
        del given[name]
    if given["retry"] and given["view_id"]:
        raise click.UsageError("--retry names the tasks itself: leave out --view.")
    if given["watch"] and (given["retry"] or given["dry_run"]):
        raise click.UsageError("--watch goes neither with --retry nor with --dry-run.")
    if given["no_wait"] and (given["watch"] or settings.queue_url is None):
        raise click.UsageError("--no-wait needs a queue, and goes not with --watch.")
    if no_cache and settings.queue_url is not None:
        raise click.UsageError(
            "--no-cache goes not with a queue: LABELVINO_RESULT_CACHE=false for its workers."
        )
    run_job(settings, JobWishes(**given))


def _check_mode(context: click.Context, *, offline: bool) -> None:
    """Raises UsageError where options of both kinds are given, or one is missing."""
    given = {
        name
        for name in context.params
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }
    flags = {option.name: max(option.opts, key=len) for option in context.command.params}
    wrong = sorted(str(flags[name]) for name in given & (_ONLINE if offline else _OFFLINE))
    if wrong:
        mode = "--tasks" if offline else "--project"
        raise click.UsageError(f"{', '.join(wrong)} cannot be given with {mode}.")
    needed = ("label_config", "out") if offline else ("project",)
    for name in needed:
        if context.params[name] is None:
            more = " with --tasks" if offline else ", or --tasks"
            raise click.UsageError(f"{flags[name]} is needed{more}.")
