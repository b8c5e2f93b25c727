"""`labelvino-model package`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="The folder to write.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    help="Settings that belong to the model (TOML): device, precision, thresholds, polygons.",
)
@click.option(
    "--license",
    "licenses",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A licence text of the model; may be given again.",
)
@click.option("--force", is_flag=True, help="Replace the package where it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for programs to stdout.")
def package(
    model: Path,
    output: Path,
    settings: Path | None,
    licenses: tuple[Path, ...],
    force: bool,
    as_json: bool,
) -> None:
    """Pack MODEL, an IR of labelvino's, for another place: `labelvino serve --bundle FOLDER`.

    The folder gets the model, its facts, labels, settings, self-test and licences, and a manifest
    with the digest of every file, which is verified before the model is served.
    """
    from converter.package import package as pack

    done = pack(model, output, settings=settings, licenses=licenses, force=force)
    click.echo(
        f"labelvino-model: wrote {output} ({len(done.files)} files, "
        f"{done.size_bytes / 1e6:.1f} MB, manifest {done.digest})",
        err=True,
    )
    if as_json:
        summary = {
            "output": str(done.folder),
            "manifest_digest": done.digest,
            "files": list(done.files),
            "size_bytes": done.size_bytes,
        }
        click.echo(json.dumps(summary, indent=2))
