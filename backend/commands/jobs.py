"""`labelvino jobs`"""

from __future__ import annotations

from pathlib import Path

import click

from backend.commands import options


@click.command()
@options.queue
@options.config
@click.option("--project", type=click.IntRange(1), help="Only this project's, by id.")
@click.option("--retry", is_flag=True, help="Put tasks that were given up into the queue again.")
@click.option("--cancel", is_flag=True, help="Take back what has not begun.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def jobs(
    queue: str | None,
    config: Path | None,
    project: int | None,
    retry: bool,
    cancel: bool,
    as_json: bool,
) -> None:
    """Show bulk jobs, their workers, and the tasks that were given up."""
    from backend.bulk.jobs_command import cancel_jobs, retry_dead, tell_jobs

    settings = options.settings_of(config, queue_url=queue)
    if retry and cancel:
        raise click.UsageError("--retry and --cancel contradict each other.")
    if retry:
        retry_dead(settings, project)
    elif cancel:
        cancel_jobs(settings, project)
    else:
        tell_jobs(settings, project, as_json=as_json)
