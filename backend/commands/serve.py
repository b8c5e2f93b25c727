"""`labelvino serve`"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import click

from backend.commands import options
from backend.runtime.errors import SettingsError


@click.command()
@options.model
@options.device
@options.precision
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 9090).")
@options.threshold
@options.controls
def serve(model: Path | None, **given: Any) -> None:
    """Serve a model to Label Studio as an ML backend.

    Settings that have no option here are read from the environment (docs/configuration.md).
    """
    from backend.serving import serve as run_server
    from backend.settings import load_settings

    settings = load_settings(model=model, **given)
    level = getattr(logging, settings.log_level.upper(), None)
    if not isinstance(level, int):
        raise SettingsError(
            f"log level '{settings.log_level}' is not one of DEBUG, INFO, WARNING, ERROR."
        )
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # it logs whole addresses
    logging.getLogger("httpcore2").setLevel(logging.WARNING)
    run_server(settings)
