"""`labelvino-model`: the command line, a thin shell over convert and inspect."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from backend.runtime import command_line
from converter.commands.benchmark import benchmark
from converter.commands.compare import compare
from converter.commands.fetch import fetch
from converter.commands.list_models import list_models
from converter.commands.package import package
from converter.commands.quantize import quantize
from converter.commands.validate import validate


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="labelvino", prog_name="labelvino-model")
def cli() -> None:
    """Bring a trained model to the IR that labelvino serves."""


def _numbers(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    from converter.facts import parse_numbers

    try:
        return parse_numbers(text) if text else ()
    except ValueError as error:
        raise click.BadParameter(f"'{text}' are no numbers: write 123.7,116.3,103.5") from error


def _family(_context: click.Context, _option: click.Parameter, name: str | None) -> str | None:
    if name is None:
        return None
    from converter.contracts import FAMILY_NAMES

    if name not in FAMILY_NAMES:
        raise click.BadParameter(f"'{name}' is none of {', '.join(FAMILY_NAMES)}.")
    return name


@cli.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output-model",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="The IR to write, NAME.xml; its weights become NAME.bin.",
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help="The weights of torchvision:NAME, detectron2:CONFIG or module:factory.",
)
@click.option(
    "--example-input",
    type=click.Path(path_type=Path),
    help="A picture, or a .npy array, to trace a PyTorch model with. Default: a small picture.",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Load PyTorch and Keras files that run code when they are loaded, if you trust them.",
)
@click.option(
    "--extension",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Conversions for operations that OpenVINO has none for: a Python file, which is run, or a "
    "compiled library. May be given more than once.",
)
@click.option("--labels", metavar="LIST", help="coco80, coco91 or a file with the label names.")
@click.option(
    "--family",
    metavar="NAME",
    callback=_family,
    help="Do not detect the family of outputs; `labelvino-model list` shows them.",
)
@click.option(
    "--resize",
    metavar="RULE",
    help="How an image becomes the input: none, stretch:WxH, fit:WxH, letterbox:WxH or "
    "shortest-edge:SHORT:LONG.",
)
@click.option(
    "--color-order",
    type=click.Choice(["rgb", "bgr"]),
    help="The channel order that the model wants.",
)
@click.option(
    "--reverse-input-channels",
    is_flag=True,
    help="The same as --color-order bgr: images come as RGB.",
)
@click.option(
    "--mean-values",
    metavar="NUMBERS",
    callback=_numbers,
    help="Subtracted from each channel, in the model's channel order.",
)
@click.option(
    "--scale-values",
    metavar="NUMBERS",
    callback=_numbers,
    help="Each channel is divided by them, after the mean.",
)
@click.option(
    "--mask-frame",
    type=click.Choice(["box", "image"]),
    help="What a mask covers: its box, or the whole input.",
)
@click.option(
    "--static",
    nargs=2,
    type=click.IntRange(min=16, max=8192),
    metavar="HEIGHT WIDTH",
    help="Fix the input's size, for devices that fail on dynamic shapes.",
)
@click.option("--name", help="The model's name in predictions. Default: the output's name.")
@click.option(
    "--score-threshold",
    type=click.FloatRange(0, 1),
    help="The lowest score that is shown by default.",
)
@click.option("--input", "input_", metavar="NAME[SHAPE]", help="The image input, and its shape.")
@click.option("--input-shape", metavar="SHAPE", help="[1,3,480,640], or ? and 320..1024 for sides.")
@click.option("--layout", metavar="LAYOUT", help="nchw or nhwc, where the shape does not tell.")
@click.option(
    "--output",
    "outputs",
    metavar="NAMES",
    help="The outputs that stay, with commas; NEW=OLD names one anew.",
)
@click.option(
    "--compress-to-fp16/--no-compress-to-fp16",
    default=True,
    show_default=True,
    help="Store the weights in half the size.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=1),
    default=600.0,
    show_default=True,
    help="Seconds that the trial of the converted model may take.",
)
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@click.option("--json", "as_json", is_flag=True, help="Print a summary for programs to stdout.")
def convert(source: Path, target: Path, **options: Any) -> None:
    """Convert SOURCE, a trained detector or instance segmentation model, to an IR.

    SOURCE is a file (.pb, .tflite, .keras, .h5, .onnx, .xml, .pt, .pt2), a folder (SavedModel, Geti
    deployment), an archive of one of them, torchvision:NAME, detectron2:CONFIG or module:factory.
    The new IR is tried before it gets its name.
    """
    from backend.runtime.contract import ResizeRule
    from converter.convert import convert as convert_model
    from converter.facts import Wishes
    from converter.ovc_options import OvcOptions
    from converter.progress import PhaseProgress
    from converter.report import conversion_summary
    from converter.sources import LoadOptions

    if options["reverse_input_channels"] and options["color_order"] == "rgb":
        raise click.UsageError("--reverse-input-channels contradicts --color-order rgb.")
    wishes = Wishes(
        labels=options["labels"],
        family=options["family"],
        resize=ResizeRule.parse(options["resize"]) if options["resize"] else None,
        color_order="bgr" if options["reverse_input_channels"] else options["color_order"],
        mean_values=options["mean_values"],
        scale_values=options["scale_values"],
        mask_frame=options["mask_frame"],
        static_hw=options["static"],
        name=options["name"],
        score_threshold=options["score_threshold"],
        ovc=OvcOptions(
            options["input_"], options["input_shape"], options["layout"], options["outputs"]
        ),
    )
    with PhaseProgress() as progress:
        done = convert_model(
            source,
            target,
            wishes,
            load=LoadOptions(
                options["weights"],
                options["trust"],
                options["example_input"],
                options["extension"],
            ),
            compress_to_fp16=options["compress_to_fp16"],
            force=options["force"],
            timeout_s=options["timeout"],
            phase=progress.start,
        )
    if not options["as_json"]:
        click.echo(f"labelvino-model: family {done.contract.family}: {done.reason}", err=True)
    for note in done.notes:
        click.echo(f"labelvino-model: {note}", err=True)
    if options["as_json"]:
        click.echo(json.dumps(conversion_summary(done), indent=2))
    else:
        megabytes = done.published.size_bytes / 1e6
        click.echo(
            f"labelvino-model: wrote {target} ({done.contract.family}, "
            f"{len(done.contract.labels)} labels, {done.contract.precision}, {megabytes:.1f} MB)",
            err=True,
        )


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--extension",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Conversions for operations, as for convert.",
)
@click.option("--weights", type=click.Path(path_type=Path), help="As for convert.")
@click.option("--example-input", type=click.Path(path_type=Path), help="As for convert.")
@click.option("--trust", is_flag=True, help="As for convert.")
@click.option("--json", "as_json", is_flag=True, help="Print it for programs.")
def inspect(file: Path, as_json: bool, **options: Any) -> None:
    """Show inputs, outputs and facts of FILE, any source that convert reads, and its family."""
    from converter.report import inspection, inspection_text
    from converter.sources import LoadOptions

    found = inspection(
        file,
        LoadOptions(
            options["weights"], options["trust"], options["example_input"], options["extension"]
        ),
    )
    click.echo(json.dumps(found, indent=2) if as_json else inspection_text(found))


cli.add_command(fetch)
cli.add_command(compare)
cli.add_command(validate)
cli.add_command(benchmark)
cli.add_command(list_models)
cli.add_command(quantize)
cli.add_command(package)


def main() -> NoReturn:
    """The program."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(run())


def run(arguments: list[str] | None = None) -> int:
    """The program as a function: the exit code, 0 done, 1 failed, 2 usage, 130 interrupted.

    `arguments`: None takes the process's own.
    """
    return command_line.run(cli, "labelvino-model", arguments)


def _terminated(_number: int, _frame: object) -> NoReturn:
    """SIGTERM cleans up as Ctrl-C does."""
    raise SystemExit(128 + signal.SIGTERM)


if __name__ == "__main__":
    main()
