"""`labelvino devices`"""

from __future__ import annotations

import json

import click

from backend.runtime.errors import LabelvinoError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def devices(as_json: bool) -> None:
    """List what OpenVINO can compute on."""
    from dataclasses import asdict

    from backend.runtime.engine import list_devices

    found = list_devices()
    if as_json:
        click.echo(json.dumps([asdict(device) for device in found], indent=2))
        return
    for device in found:
        click.echo(f"{device.name}  {device.full_name}")
        if device.problem:
            click.echo(f"      does not answer: {device.problem}")
        else:
            precisions = ", ".join(device.precisions)
            click.echo(f"      precisions {precisions}; by default {device.default_precision}")
    if not found:
        raise LabelvinoError("OpenVINO sees no device here: reinstall the package openvino.")
