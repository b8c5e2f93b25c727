"""`labelvino-model fetch`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from converter.commands.registry_option import registry_files, registry_option


@click.command()
@click.argument("name")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder for the files. Default: the last part of NAME, here.",
)
@registry_option
@click.option("--show", is_flag=True, help="Only show address, size, digest and licence.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=60.0,
    show_default=True,
    help="Seconds of silence after which the connection is given up and tried again.",
)
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often in a row a connection may break off before it gets anywhere.",
)
@click.option("--force", is_flag=True, help="Replace the files where they exist.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for programs to stdout.")
def fetch(
    name: str,
    output: Path | None,
    registry: tuple[Path, ...],
    show: bool,
    timeout: float,
    attempts: int,
    force: bool,
    as_json: bool,
) -> None:
    """Download the model NAME of the registry; `labelvino-model list` shows the names.

    Address, size, digest and licence are shown first. Digests are checked; archives are unpacked
    safely; what broke off goes on with the same command. HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and
    SSL_CERT_DIR are respected.
    """
    from converter.download import DownloadLimits
    from converter.fetch import describe
    from converter.fetch import fetch as fetch_model
    from converter.model_registry import entry_named, read_registry
    from converter.progress import DownloadProgress

    entry = entry_named(name, read_registry(registry_files(registry)))
    folder = output or Path(entry.name.rpartition("/")[2])
    for line in describe(entry, folder):
        click.echo(line, err=True)
    if show:
        return
    try:
        with DownloadProgress() as progress:
            done = fetch_model(
                entry,
                folder,
                force=force,
                limits=DownloadLimits(read_timeout_s=timeout, attempts=attempts),
                progress=progress.file,
            )
    except KeyboardInterrupt:
        if any(folder.rglob("*.part")):
            click.echo("labelvino-model: the same command goes on where this one stops", err=True)
        raise
    for file in done.files:
        verb = "fetched" if file.path in done.new else "was there"
        click.echo(f"labelvino-model: {verb} {file.sentence}", err=True)
    if done.convert_command:
        click.echo(f"labelvino-model: convert it with: {done.convert_command}", err=True)
    if as_json:
        summary = {
            "model": entry.name,
            "folder": str(folder),
            "files": [asdict(file) for file in done.files],
            "new": list(done.new),
            "convert": done.convert_command,
        }
        click.echo(json.dumps(summary, indent=2))
