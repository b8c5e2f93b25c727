"""`labelvino predict`"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.commands import options

if TYPE_CHECKING:
    from backend.photos import PhotoReport
    from backend.runtime.engine import Engine

_COCO_THRESHOLD = 0.0  # average precision wants every detection that the model gives


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@options.model
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to write to.")
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["label-studio", "coco"]),
    default="label-studio",
    show_default=True,
    help="Label Studio's import format with overlays, or a COCO results file.",
)
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    help="COCO annotations: gives image ids by file name and category ids by name.",
)
@click.option("--image-prefix", default="", help="Goes before the file name in the tasks' address.")
@options.device
@options.precision
@options.threshold
@options.controls
@options.config
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def predict(
    photos: tuple[Path, ...],
    model: Path | None,
    out: Path,
    output_format: str,
    annotations: Path | None,
    image_prefix: str,
    config: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Predict image files (or folders of them), without any Label Studio.

    Writes OUT/predictions.json, OUT/label_config.xml that fits it, and an overlay PNG per photo.
    """
    from backend.photos import find_photos
    from backend.progress import progress
    from backend.serving import open_photo_run

    coco = output_format == "coco"
    if coco and annotations is None:
        raise click.UsageError("--format coco needs --annotations, for the ids of images.")
    if annotations is not None and not coco:
        raise click.UsageError("--annotations goes with --format coco only.")
    if coco and given["score_threshold"] is None:
        given["score_threshold"] = _COCO_THRESHOLD
    files = find_photos(photos)
    settings = options.settings_of(config, model=model, **given)
    run, pool, engine = open_photo_run(settings, files, out, annotations, image_prefix)
    start = time.monotonic()
    try:
        with progress("photos", len(files)) as advance:
            run.run(pool, advance)
    finally:
        # What an interrupted run has done is kept.
        pool.close()
        target = run.write()
    seconds = time.monotonic() - start
    _tell(run.report, len(files), seconds, engine, target, as_json)
    if run.report.failed:
        raise SystemExit(1)


def _tell(
    report: PhotoReport, photos: int, seconds: float, engine: Engine, target: Path, as_json: bool
) -> None:
    for photo, reason in report.failed:
        click.echo(f"labelvino: {photo}: {reason}", err=True)
    done = photos - len(report.failed)
    if as_json:
        summary = {
            "photos": photos,
            "done": done,
            "failed": [{"photo": str(photo), "reason": reason} for photo, reason in report.failed],
            "detections": report.detections,
            "seconds": round(seconds, 3),
            "output": str(target),
            "model": engine.contract.name,
            "device": list(engine.execution_devices),
            "precision": engine.precision,
        }
        click.echo(json.dumps(summary, indent=2))
        return
    click.echo(
        f"{done} of {photos} photos, {report.detections} detections, {photos / seconds:.1f} "
        f"photos/s on {', '.join(engine.execution_devices)} in {engine.precision}: {target}",
        err=True,
    )
