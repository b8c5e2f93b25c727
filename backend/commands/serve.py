"""`labelvino serve`"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from backend.commands import options

log = logging.getLogger("labelvino")


@click.command()
@options.model
@options.device
@options.precision
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 9090).")
@options.threshold
@options.controls
@options.config
@click.option("--log-format", type=click.Choice(["text", "json"]), help="text (default), or json.")
@click.option("--print-settings", is_flag=True, help="Show the settings in effect, and end.")
def serve(config: Path | None, print_settings: bool, **given: Any) -> None:
    """Serve a model to Label Studio as an ML backend.

    Settings that have no option here are read from the environment or a settings file
    (docs/configuration.md).
    """
    from backend.serving import serve as run_server
    from backend.settings import load_settings
    from backend.settings_report import settings_toml

    if print_settings:
        click.echo(settings_toml(options.settings_of(config, **given)), nl=False)
        return
    settings = load_settings(config, **given)
    logging.basicConfig(level=settings.log_level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs whole addresses
    logging.getLogger("httpcore2").setLevel(logging.WARNING)
    for note in settings.notes:
        log.warning("%s", note)
    run_server(settings)
