"""`labelvino-model validate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from backend.runtime.command_line import DONE
from converter.commands.measuring import PARITY_NOT_MET, Counting

_FRAMEWORKS = ("auto", "tensorflow", "onnxruntime", "pytorch", "openvino")
_SHARE = click.FloatRange(0, 1)
_LEAST_ZERO = click.FloatRange(min=0)


def _numbers(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    from converter.facts import parse_numbers

    try:
        return parse_numbers(text) if text else ()
    except ValueError as error:
        raise click.BadParameter(f"'{text}' are no numbers: write 123.7,116.3,103.5") from error


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.argument("model", metavar="MODEL.XML", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    required=True,
    help="A folder of images, or a COCO file that names them.",
)
@click.option("--report", type=click.Path(path_type=Path), help="A folder for the page and JSON.")
@click.option(
    "--framework",
    type=click.Choice(_FRAMEWORKS),
    default="auto",
    show_default=True,
    help="What runs the source; auto is its own where that is installed, else OpenVINO.",
)
@click.option("--device", default="CPU", show_default=True, help="What runs the model.")
@click.option("--family", help="Do not detect the family of the source's outputs.")
@click.option("--color-order", type=click.Choice(["rgb", "bgr"]), help="As for convert.")
@click.option("--mean-values", metavar="NUMBERS", callback=_numbers, help="As for convert.")
@click.option("--scale-values", metavar="NUMBERS", callback=_numbers, help="As for convert.")
@click.option("--weights", type=click.Path(path_type=Path), help="As for convert.")
@click.option("--example-input", type=click.Path(path_type=Path), help="As for convert.")
@click.option("--trust", is_flag=True, help="As for convert.")
@click.option(
    "--min-score",
    type=_SHARE,
    default=0.5,
    show_default=True,
    help="Detections below it do not count.",
)
@click.option("--min-matched", type=_SHARE, default=0.98, show_default=True, help="Share at f32.")
@click.option(
    "--max-box-px",
    type=_LEAST_ZERO,
    default=1.0,
    show_default=True,
    help="Shift of a box's side, in pixels of the image, that three of four stay within.",
)
@click.option(
    "--max-score-gap",
    type=_LEAST_ZERO,
    default=0.02,
    show_default=True,
    help="Of scores, likewise.",
)
@click.option(
    "--min-mask-iou",
    type=_SHARE,
    default=0.95,
    show_default=True,
    help="Overlap of masks that three of four reach.",
)
@click.option(
    "--max-mask-gap",
    type=_LEAST_ZERO,
    default=0.1,
    show_default=True,
    help="Largest difference within a raw mask, that three of four stay within.",
)
@click.option(
    "--max-tensor-gap",
    type=_LEAST_ZERO,
    default=0.02,
    show_default=True,
    help="Of tensors before selection, as a share of their range, for 99.9 % of the elements.",
)
@click.option(
    "--min-matched-default",
    type=_SHARE,
    help="Share at the device's default precision, which is only reported otherwise.",
)
@click.option(
    "--pictures",
    type=click.IntRange(min=0),
    default=12,
    show_default=True,
    help="How many images the page shows.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report's JSON to stdout.")
def validate(source: Path, model: Path, images: Path, **options: Any) -> int:
    """Check that MODEL.XML is what SOURCE is: run both on the same pixels at f32.

    Exit 3 where a limit is not met. The device's default precision is reported apart.
    """
    from converter.calibration import photos_of
    from converter.facts import Wishes
    from converter.machine import this_machine
    from converter.sources import LoadOptions
    from converter.validate import Conditions, Limits
    from converter.validate import validate as validate_model
    from converter.validation_json import validation_json
    from converter.validation_text import validation_text

    limits = Limits(
        min_matched=options["min_matched"],
        max_box_px=options["max_box_px"],
        max_score=options["max_score_gap"],
        min_mask_iou=options["min_mask_iou"],
        max_mask=options["max_mask_gap"],
        max_tensor=options["max_tensor_gap"],
        min_matched_default=options["min_matched_default"],
    )
    wishes = Wishes(
        family=options["family"],
        color_order=options["color_order"],
        mean_values=options["mean_values"],
        scale_values=options["scale_values"],
    )
    with Counting() as counting:
        found = validate_model(
            source,
            model,
            photos_of(images),
            wishes=wishes,
            load=LoadOptions(options["weights"], options["trust"], options["example_input"]),
            conditions=Conditions(
                options["framework"], options["device"], options["min_score"], limits
            ),
            progress=counting.progress,
        )
    report = validation_json(found, this_machine())
    if options["report"]:
        from converter.page import write_report
        from converter.validation_page import validation_pictures, validation_sections

        page = write_report(
            options["report"],
            report,
            f"Validation of {found.contract.name}",
            validation_sections(report),
            validation_pictures(found, options["pictures"]),
        )
        click.echo(f"labelvino-model: wrote {page}", err=True)
    click.echo(json.dumps(report, indent=2) if options["as_json"] else validation_text(report))
    return DONE if found.passed else PARITY_NOT_MET
