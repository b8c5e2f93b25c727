"""`labelvino`: the command line of the serving side."""

from __future__ import annotations

import sys

import click

from backend.commands.connect import connect
from backend.commands.demo import demo
from backend.commands.devices import devices
from backend.commands.doctor import doctor
from backend.commands.export import export
from backend.commands.jobs import jobs
from backend.commands.label_config import label_config
from backend.commands.predict import predict
from backend.commands.prelabel import prelabel
from backend.commands.report import report
from backend.commands.rethreshold import rethreshold
from backend.commands.review import review
from backend.commands.serve import serve
from backend.commands.tune import tune
from backend.commands.worker import worker


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="labelvino")
def cli() -> None:
    """Instance-segmentation pre-annotations for Label Studio on OpenVINO."""


_COMMANDS = (
    connect, demo, devices, doctor, export, jobs, label_config, predict, prelabel, report,
    rethreshold, review, serve, tune, worker,
)  # fmt: skip
for _command in _COMMANDS:
    cli.add_command(_command)


def main() -> None:
    """Entry point: one clear line for each error, and the exit code that goes with it."""
    from backend.runtime.command_line import run

    sys.exit(run(cli, "labelvino"))


if __name__ == "__main__":
    main()
