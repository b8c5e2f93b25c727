"""`labelvino`: the command line of the serving side."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from backend.labelstudio.label_config import ControlKind
from backend.labelstudio.region_plan import ControlChoice
from backend.runtime.errors import LabelvinoError, SettingsError

if TYPE_CHECKING:
    from backend.photos import PhotoReport
    from backend.runtime.engine import Engine

_CHOICES = click.Choice(get_args(ControlChoice))
_PRECISIONS = click.Choice(["auto", "f32", "bf16", "f16"])
_COCO_THRESHOLD = 0.0  # average precision wants every detection that the model gives
_model = click.option(
    "--model", type=click.Path(path_type=Path), help="The IR (.xml) that labelvino-model wrote."
)
_device = click.option("--device", help="OpenVINO device (default AUTO); see 'labelvino devices'.")
_precision = click.option(
    "--precision", type=_PRECISIONS, help="Inference precision (default auto: the device's choice)."
)
_threshold = click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    help="Regions need this score; goes before any other threshold.",
)
_controls = click.option("--controls", type=_CHOICES, help="Which controls get regions.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labelvino")
def cli() -> None:
    """Instance-segmentation pre-annotations for Label Studio on OpenVINO."""


@cli.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@_model
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
@_device
@_precision
@_threshold
@_controls
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def predict(
    photos: tuple[Path, ...],
    model: Path | None,
    out: Path,
    output_format: str,
    annotations: Path | None,
    image_prefix: str,
    as_json: bool,
    **given: Any,
) -> None:
    """Predict image files (or folders of them), without any Label Studio.

    Writes OUT/predictions.json, OUT/label_config.xml that fits it, and an overlay PNG per photo.
    """
    from backend.photos import find_photos
    from backend.progress import progress
    from backend.serving import open_photo_run
    from backend.settings import load_settings

    coco = output_format == "coco"
    if coco and annotations is None:
        raise click.UsageError("--format coco needs --annotations, for the ids of images.")
    if annotations is not None and not coco:
        raise click.UsageError("--annotations goes with --format coco only.")
    if coco and given["score_threshold"] is None:
        given["score_threshold"] = _COCO_THRESHOLD
    files = find_photos(photos)
    settings = load_settings(model=model, **given)
    run, pool, engine = open_photo_run(settings, out, annotations, image_prefix)
    start = time.monotonic()
    try:
        with progress("photos", len(files)) as advance:
            run.run(files, pool, advance)
    finally:
        # What an interrupted run has done is kept.
        pool.close()
        target = run.write()
    seconds = time.monotonic() - start
    _tell(run.report, len(files), seconds, engine, target, as_json)
    if run.report.failed:
        raise SystemExit(1)


@cli.command()
@_model
@_device
@_precision
@click.option("--host", help="Address to listen on (default 127.0.0.1).")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on (default 9090).")
@_threshold
@_controls
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


@cli.command("label-config")
@_model
@click.option(
    "--control",
    "controls",
    type=click.Choice(get_args(ControlKind)),
    multiple=True,
    help="May be given several times (default polygon).",
)
def label_config(model: Path | None, controls: tuple[ControlKind, ...]) -> None:
    """Print a labelling config for the model's labels."""
    from backend.labelstudio.config_writer import write_label_config
    from backend.runtime.engine import load_contract
    from backend.runtime.overlay import label_colour
    from backend.settings import load_settings, model_path

    names = load_contract(model_path(load_settings(model=model))).label_names
    colours = tuple(label_colour(name) for name in names)
    click.echo(write_label_config(names, controls or ("polygon",), colours), nl=False)


@cli.command()
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


def main() -> None:
    """Entry point: one clear line for each error, and the exit code that goes with it."""
    from backend.runtime.command_line import run

    sys.exit(run(cli, "labelvino"))


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
