"""`labelvino-model quantize`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from converter.quantize import Quantization


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The IR to write, NAME.xml; its weights become NAME.bin.",
)
@click.option(
    "--calibration",
    type=click.Path(path_type=Path),
    help="A folder of images, or a COCO file that names them.",
)
@click.option(
    "--project",
    metavar="ID|TITLE",
    help="Calibrate with the images of a project of Label Studio instead.",
)
@click.option("--label-studio-url", help="Its address; the token comes from LABEL_STUDIO_API_KEY.")
@click.option(
    "--check",
    type=click.Path(path_type=Path),
    help="Images to compare with the parent on. Default: a quarter is held out, at most 100.",
)
@click.option(
    "--subset-size",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="The most images that calibrate.",
)
@click.option(
    "--preset",
    type=click.Choice(["performance", "mixed"]),
    default="mixed",
    show_default=True,
    help="Activations symmetric (performance), or with a zero point where they need it (mixed).",
)
@click.option(
    "--ignored-scope",
    "keep",
    multiple=True,
    metavar="WHICH",
    help="Leave operations as they are: NAME, type:TYPE or re:PATTERN; may be given again.",
)
@click.option(
    "--min-agreement",
    type=click.FloatRange(0, 1),
    default=0.95,
    show_default=True,
    help="The share of instances above 0.5 that both models must find.",
)
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    help="A COCO instances file of the images that check: average precision is kept, too.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="By how much mask AP on these annotations may fall.",
)
@click.option("--name", help="The model's name in predictions. Default: the parent's.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="Seconds that the trial of the written model may take.",
)
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@click.option("--show-scope", is_flag=True, help="Only list the layers that would become INT8.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for programs to stdout.")
def quantize(
    model: Path,
    output: Path | None,
    calibration: Path | None,
    project: str | None,
    label_studio_url: str | None,
    show_scope: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Quantise MODEL, an IR of labelvino's, to INT8, with NNCF.

    What prepares the image and what makes boxes and masks stays as it is. The result is compared
    with its parent on images that did not calibrate; where it agrees too little, nothing is
    written, and the exit code is 4. Needs labelvino[quantize].
    """
    from converter.progress import PhaseProgress

    if show_scope:
        _show_scope(model, options["keep"])
        return
    if output is None:
        raise click.UsageError("Missing option '-o' / '--output'.")
    if (calibration is None) == (project is None):
        raise click.UsageError("Give one of '--calibration' and '--project'.")
    if label_studio_url is not None and project is None:
        raise click.UsageError("'--label-studio-url' goes with '--project'.")
    with ExitStack() as stack:
        progress = stack.enter_context(PhaseProgress())
        if project is not None:
            from converter.calibration import MOST_HELD_OUT
            from converter.project_images import project_photos

            progress.start("fetch")
            most = options["subset_size"] + MOST_HELD_OUT
            pool = stack.enter_context(
                project_photos(project, label_studio_url, most, progress.count)
            )
        else:
            pool = _photos(calibration)
        done = _quantize(model, output, pool, progress, **options)
    for note in done.notes:
        click.echo(f"labelvino-model: {note}", err=True)
    if as_json:
        click.echo(json.dumps(_summary(done), indent=2))
    else:
        click.echo(f"labelvino-model: wrote {output} ({_sentence(done)})", err=True)


def _quantize(
    model: Path, output: Path, pool: tuple[Path, ...], progress: Any, **options: Any
) -> Quantization:
    from converter.calibration import split
    from converter.ground_truth import read_ground_truth
    from converter.quantize import QuantizeOptions
    from converter.quantize import quantize as quantize_model

    annotations: Path | None = options["annotations"]
    truth = None if annotations is None else read_ground_truth(annotations)
    photos = split(
        pool,
        _photos(options["check"]),
        subset_size=options["subset_size"],
        annotated=None if truth is None else frozenset(truth.image_ids_by_name()),
    )
    return quantize_model(
        model,
        output,
        photos,
        QuantizeOptions(
            preset=options["preset"],
            keep=options["keep"],
            min_agreement=options["min_agreement"],
            truth=truth,
            max_drop=options["max_drop"],
            name=options["name"],
        ),
        force=options["force"],
        timeout_s=options["timeout"],
        phase=progress.start,
        count=progress.count,
    )


def _photos(source: Path | None) -> tuple[Path, ...]:
    from converter.calibration import photos_of

    return () if source is None else photos_of(source)


def _show_scope(model: Path, keep: tuple[str, ...]) -> None:
    from converter.quantize import check_model

    graph, scope = check_model(model, keep)
    kinds = {node.get_friendly_name(): node.get_type_name() for node in graph.get_ops()}
    for name in scope.layers:
        click.echo(f"{kinds[name]} {name}")
    click.echo(
        f"labelvino-model: {scope.stages}: {len(scope.layers)} layers become INT8, "
        f"{len(scope.ignored)} operations stay as they are",
        err=True,
    )


def _sentence(done: Quantization) -> str:
    kept = done.kept
    parts = [
        f"{done.scope.stages}, {done.layers} of {len(done.scope.layers)} layers in INT8",
        f"{done.published.size_bytes / 1e6:.1f} MB of {done.parent_bytes / 1e6:.1f} MB",
        f"agrees with its parent on {kept.share:.1%} of {kept.parent + kept.own} instances in "
        f"{kept.images} images",
    ]
    if done.average_precision is not None:
        parts.append("average precision {:.4f} of {:.4f}".format(*done.average_precision[::-1]))
    return ", ".join(parts)


def _summary(done: Quantization) -> dict[str, Any]:
    kept, ap = done.kept, done.average_precision
    return {
        "output": str(done.published.path),
        "name": done.contract.name,
        "precision": done.contract.precision,
        "ir_digest": done.published.ir_digest,
        "parent_digest": done.contract.parent_digest,
        "size_bytes": done.published.size_bytes,
        "parent_bytes": done.parent_bytes,
        "stages": done.scope.stages,
        "layers": done.layers,
        "layers_in_scope": len(done.scope.layers),
        "calibrated_on": len(done.photos.calibration),
        "checked_on": [path.name for path in done.photos.check],
        "agreement": {
            "share": kept.share,
            "parent": kept.parent,
            "parent_kept": kept.parent_kept,
            "own": kept.own,
            "own_kept": kept.own_kept,
            "mean_mask_iou": kept.mean_mask_iou,
        },
        "average_precision": None if ap is None else {"parent": ap[0], "result": ap[1]},
        "notes": list(done.notes),
        "seconds": done.seconds,
        "infer_seconds": list(done.published.infer_seconds),
    }
