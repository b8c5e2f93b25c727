"""`labelvino label-config`"""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import click

from backend.commands import options
from backend.labelstudio.label_config import ControlKind


@click.command("label-config")
@options.model
@options.config
@click.option(
    "--control",
    "controls",
    type=click.Choice(get_args(ControlKind)),
    multiple=True,
    help="May be given several times (default polygon).",
)
@click.option(
    "--smart-tools", is_flag=True, help="Also a point and a box to ask for one object with."
)
def label_config(
    model: Path | None,
    config: Path | None,
    controls: tuple[ControlKind, ...],
    *,
    smart_tools: bool,
) -> None:
    """Print a labelling config for the model's labels."""
    from backend.labelstudio.config_writer import SmartTool, write_label_config
    from backend.runtime.engine import load_contract
    from backend.runtime.overlay import label_colours
    from backend.settings import model_path

    names = load_contract(model_path(options.settings_of(config, model=model))).label_names
    kinds = tuple(dict.fromkeys(controls)) or ("polygon",)
    tools: tuple[SmartTool, ...] = ("point", "box") if smart_tools else ()
    xml = write_label_config(names, kinds, label_colours(names), smart_tools=tools)
    click.echo(xml, nl=False)
