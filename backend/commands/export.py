"""`labelvino export`"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from backend.commands import options


@click.command()
@click.option("--project", required=True, metavar="ID|TITLE", help="The project.")
@click.option(
    "--coco", required=True, type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write instances.json into.",
)  # fmt: skip
@click.option("--images", is_flag=True, help="Write the images too, into the folder's images/.")
@click.option(
    "--segmentation", type=click.Choice(["as-drawn", "polygon", "rle"]), default="as-drawn",
    show_default=True, help="as-drawn: polygons stay polygons, brush masks become run lengths.",
)  # fmt: skip
@click.option(
    "--several", type=click.Choice(["latest", "first"]), default="latest", show_default=True,
    help="Which annotation counts where a task has several.",
)  # fmt: skip
@click.option(
    "--model", type=click.Path(path_type=Path),
    help="The IR (.xml) whose category ids and names are used; else 1, 2, ... and the labels.",
)  # fmt: skip
@options.label_studio_url
@options.config
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
def export(config: Path | None, label_studio_url: str | None, **given: Any) -> None:
    """Write a project's annotations as a COCO file.

    For labelvino-model quantize and compare (--annotations), and for training elsewhere. Tasks
    without an annotation, skipped ones and drafts are left out. docs/export.md says more.
    """
    from backend.corrections.export.command import ExportWishes, run_export

    overrides = {"label_studio_url": label_studio_url, "model": given["model"]}
    run_export(options.settings_of(config, **overrides), ExportWishes(**given))
