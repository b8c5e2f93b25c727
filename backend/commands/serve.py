"""`labelvino serve`"""

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
@options.model
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="A package of labelvino-model's instead: verified, served with its settings.",
)
@options.device
@options.precision
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 9090).")
@options.threshold
@options.controls
@options.config
@options.log_format
@click.option("--print-settings", is_flag=True, help="Show the settings in effect, and end.")
def serve(config: Path | None, bundle: Path | None, print_settings: bool, **given: Any) -> None:
    """Serve a model to Label Studio as an ML backend.

    Settings that have no option here are read from the environment or a settings file
    (docs/configuration.md).
    """
    from backend.logs import start_logs
    from backend.serving import serve as run_server
    from backend.settings import load_settings
    from backend.settings_report import settings_toml

    if print_settings:
        click.echo(settings_toml(options.settings_of(config, bundle, **given)), nl=False)
        return
    settings = load_settings(config, bundle, **given)
    start_logs(settings)
    try:
        run_server(settings)
    except LabelvinoError as error:
        if settings.log_format == "text":
            raise
        log.error("%s", error)  # noqa: TRY400 - the sentence is all
        raise SystemExit(FAILED) from None
