"""`labelvino-model compare`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backend.runtime.command_line import ACCURACY_NOT_MET, DONE, FAILED
from converter.commands.measuring import PARITY_NOT_MET, Counting, device, precision

if TYPE_CHECKING:
    from converter.accuracy import Accuracy
    from converter.ground_truth import GroundTruth


@click.command()
@click.argument("model_a", metavar="A.XML", type=click.Path(path_type=Path))
@click.argument("model_b", metavar="B.XML", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder of images, or a COCO file that names them.",
)
@click.option(
    "--annotations",
    type=click.Path(path_type=Path),
    help="A COCO instances file of these images: average precision, too.",
)
@click.option("--report", type=click.Path(path_type=Path), help="A folder for the page and JSON.")
@device
@precision
@click.option(
    "--min-score",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Detections below it are not matched.",
)
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="How many images the page shows.",
)
@click.option("--no-speed", is_flag=True, help="Only latency: no throughput, no starts.")
@click.option(
    "--min-matched",
    type=click.FloatRange(0, 1),
    help="Exit 3 below this share of matched detections.",
)
@click.option(
    "--max-time-ratio",
    type=click.FloatRange(min=0),
    help="Exit 3 where B's median time for an image is more than so many times A's.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    help="Exit 4 where B's average precision (of masks, else boxes) is lower by more than this.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report's JSON to stdout.")
def compare(model_a: Path, model_b: Path, images: Path, **options: Any) -> int:
    """Compare two IRs: what each finds in the same images, and how fast.

    The models take turns in one run. Whatever the difference, the exit code is 0, unless a gate
    (--min-matched, --max-time-ratio, --max-drop) is not met or an image failed.
    """
    from converter.calibration import photos_of
    from converter.compare import Conditions, match_predictions, run_models
    from converter.comparison_json import comparison_json
    from converter.ground_truth import read_ground_truth

    if options["max_drop"] is not None and options["annotations"] is None:
        raise click.UsageError("--max-drop needs --annotations.")
    truth = read_ground_truth(options["annotations"]) if options["annotations"] else None
    conditions = Conditions(
        device=options["device"],
        precision=options["precision"],
        min_score=options["min_score"],
        performance=not options["no_speed"],
    )
    with Counting() as counting:
        run = run_models(
            [model_a, model_b], photos_of(images), conditions, progress=counting.progress
        )
        predictions = match_predictions(run)
        accuracy = _accuracy(run, truth)
        report = comparison_json(run, predictions, accuracy)
        if options["report"]:
            counting.progress("report", 0, 1)
            _write(options, report, predictions, truth)
    if options["as_json"]:
        click.echo(json.dumps(report, indent=2))
    else:
        from converter.comparison_text import comparison_text

        click.echo(comparison_text(report))
    if options["report"]:
        click.echo(f"labelvino-model: wrote {options['report'] / 'index.html'}", err=True)
    return _exit_code(report, options)


def _accuracy(run: Any, truth: GroundTruth | None) -> Accuracy | str | None:
    from backend.runtime.errors import MeasurementError
    from converter.accuracy import measure_accuracy

    if truth is None:
        return None
    try:
        return measure_accuracy(run, truth)
    except MeasurementError as error:
        return str(error)


def _write(
    options: dict[str, Any], report: dict[str, Any], predictions: Any, truth: GroundTruth | None
) -> None:
    from converter.comparison_page import comparison_sections
    from converter.comparison_pictures import comparison_pictures
    from converter.page import write_report

    names = [report["models"][side]["name"] for side in "ab"]
    if names[0] == names[1]:
        names = [Path(report["models"][side]["path"]).stem for side in "ab"]
    write_report(
        options["report"],
        report,
        f"{names[0]} and {names[1]}",
        comparison_sections(report),
        comparison_pictures(predictions, truth, options["pictures"]),
    )


def _exit_code(report: dict[str, Any], options: dict[str, Any]) -> int:
    """1 for what failed, then 4 and 3 for gates that are not met; each says so."""
    accuracy = report["accuracy"]
    failed = [f"{f['image']} failed: {f['error']}" for f in report["failures"]]
    if accuracy and "failed" in accuracy:
        failed.append(f"average precision failed: {accuracy['failed']}")
    unmet = []
    share = report["predictions"]["total"]["share"]
    if options["min_matched"] is not None and share < options["min_matched"]:
        unmet.append(f"{share:.3f} of the detections match, less than {options['min_matched']}")
    ratio = report["performance"]["ratios"]["latency"]["middle"]
    if options["max_time_ratio"] is not None and ratio > options["max_time_ratio"]:
        unmet.append(f"B takes {ratio:.2f} times A's time, more than {options['max_time_ratio']}")
    inaccurate = []
    if options["max_drop"] is not None and accuracy and "metrics" in accuracy:
        kind = "mask" if "mask" in accuracy["metrics"] else "box"
        gap = accuracy["metrics"][kind]["difference"].get("ap", {}).get("value")
        if gap is None or gap < -options["max_drop"]:
            said = "is not known" if gap is None else f"is lower by {-gap:.4f}"
            inaccurate.append(f"B's {kind} AP {said}, and may be by {options['max_drop']}")
    for sentence in (*failed, *inaccurate, *unmet):
        click.echo(f"labelvino-model: {sentence}", err=True)
    if failed:
        return FAILED
    return ACCURACY_NOT_MET if inaccurate else PARITY_NOT_MET if unmet else DONE
