"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from backend.labelstudio.region_plan import ControlChoice

if TYPE_CHECKING:
    from backend.settings import Settings

_CHOICES = click.Choice(get_args(ControlChoice))
_PRECISIONS = click.Choice(["auto", "f32", "bf16", "f16"])
queue = click.option(
    "--queue",
    metavar="URL",
    help="Redis with the jobs for workers: redis://host:port (else LABELVINO_QUEUE_URL).",
)
log_format = click.option(
    "--log-format", type=click.Choice(["text", "json"]), help="text (default), or json."
)
config = click.option(
    "--config",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Settings file (TOML; else LABELVINO_CONFIG).",
)
model = click.option(
    "--model", type=click.Path(path_type=Path), help="The IR (.xml) that labelvino-model wrote."
)
device = click.option("--device", help="OpenVINO device (default AUTO); see 'labelvino devices'.")
precision = click.option(
    "--precision", type=_PRECISIONS, help="Inference precision (default auto: the device's choice)."
)
threshold = click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    help="Regions need this score; goes before any other threshold.",
)
controls = click.option("--controls", type=_CHOICES, help="Which controls get regions.")
label_studio_url = click.option("--label-studio-url", help="Label Studio (else LABEL_STUDIO_URL).")


def settings_of(config: Path | None, bundle: Path | None = None, **given: Any) -> Settings:
    """The settings of a command with these options; what to know about them goes to stderr."""
    from backend.settings import load_settings

    settings = load_settings(config, bundle, **given)
    for note in settings.notes:
        click.echo(f"labelvino: {note}", err=True)
    return settings
