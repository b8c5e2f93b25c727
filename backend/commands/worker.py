"""`labelvino worker`"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from backend.commands import options
from backend.runtime.command_line import FAILED
from backend.runtime.errors import LabelvinoError

log = logging.getLogger("labelvino")


@click.command()
@options.queue
@options.model
@options.device
@options.precision
@options.label_studio_url
@options.config
@options.log_format
@click.option("--burst", is_flag=True, help="End when no job waits.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Answer Prometheus on this port, at LABELVINO_HOST; 0: on any, which the log names.",
)
def worker(config: Path | None, burst: bool, metrics_port: int | None, **given: Any) -> None:
    """Do the jobs of 'labelvino prelabel --queue', on any machine.

    Takes only jobs for the very model that it has loaded; thresholds and controls come with the
    jobs. SIGTERM and Ctrl-C let tasks under way end and give the rest back; a second one ends at
    once. Needs a token (docs/tokens.md).
    """
    from backend.bulk.worker_command import run_worker
    from backend.logs import start_logs
    from backend.settings import load_settings

    settings = load_settings(config, queue_url=given.pop("queue"), **given)
    start_logs(settings)
    try:
        code = run_worker(settings, burst=burst, metrics_port=metrics_port)
    except LabelvinoError as error:
        if settings.log_format == "text":
            raise
        log.error("%s", error)  # noqa: TRY400 - the sentence is all
        code = FAILED
    raise SystemExit(code)
