"""`labelvino-model benchmark`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from backend.runtime.command_line import DONE, FAILED
from converter.commands.measuring import Counting, device, precision


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="A folder of images, or a COCO file that names them. Default: one small picture.",
)
@device
@precision
@click.option("--json", "as_json", is_flag=True, help="Print the figures for programs.")
def benchmark(model: Path, images: Path | None, device: str, precision: str, as_json: bool) -> int:
    """Measure how fast MODEL is: latency, throughput, starts, memory, size."""
    from converter.calibration import photos_of
    from converter.compare import Conditions, run_models
    from converter.comparison_json import benchmark_json
    from converter.comparison_text import benchmark_text

    picture = Path(__file__).parent.parent / "self_test.jpg"
    photos = photos_of(images) if images else (picture,) * 20
    conditions = Conditions(device=device, precision=precision)  # type: ignore[arg-type]
    with Counting() as counting:
        run = run_models([model], photos, conditions, progress=counting.progress)
    report = benchmark_json(run)
    click.echo(json.dumps(report, indent=2) if as_json else benchmark_text(report))
    for failure in run.failures:
        click.echo(f"labelvino-model: {failure.path.name} failed: {failure.error}", err=True)
    return FAILED if run.failures else DONE
