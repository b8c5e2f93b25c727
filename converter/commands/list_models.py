"""`labelvino-model list`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from converter.commands.registry_option import registry_files, registry_option


@click.command("list")
@registry_option
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def list_models(registry: tuple[Path, ...], as_json: bool) -> None:
    """List the families of outputs that convert knows, and the models that fetch knows by name.

    Of each: whether it gives masks or boxes, its labels, and how an image becomes its input.
    """
    from converter.contracts import FAMILY_NAMES, family_named
    from converter.model_registry import read_registry

    families = {name: asdict(family_named(name).about) for name in FAMILY_NAMES}
    models = read_registry(registry_files(registry))
    if as_json:
        listed = [
            {**asdict(entry), "size": entry.size, "resize": entry.resize}
            for entry in models.values()
        ]
        click.echo(json.dumps({"families": families, "models": listed}, indent=2))
        return
    click.echo("Families of outputs (labelvino-model convert --family NAME)")
    for name, about in families.items():
        click.echo(f"\n  {name}")
        for key, value in about.items():
            click.echo(f"    {key:<8} {value}")
    click.echo("\nModels (labelvino-model fetch NAME)")
    width = max((len(name) for name in models), default=0)
    for name, entry in models.items():
        size = "" if entry.size is None else f"{entry.size / 1e6:.0f} MB"
        rule = entry.resize or "as trained"
        click.echo(f"  {name:<{width}}  {entry.gives:<5}  {entry.labels:<7}  {size:>6}  {rule}")
