"""`labelvino doctor`"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backend.commands import options

if TYPE_CHECKING:
    from backend.checkup.finding import Finding
    from backend.settings import Settings


@click.command()
@options.model
@options.device
@options.precision
@options.label_studio_url
@click.option("--project", metavar="ID|TITLE", help="Also fetch the image of one of its tasks.")
@options.config
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def doctor(
    model: Path | None,
    device: str | None,
    precision: str | None,
    label_studio_url: str | None,
    project: str | None,
    config: Path | None,
    as_json: bool,
) -> None:
    """Find what keeps labelvino from working, and say what to do about it.

    Looks at the model, the devices, the disk, Redis, the queue of bulk jobs, tuned thresholds and
    Label Studio with the settings that 'serve' would have, and changes nothing. Ends with 1 if
    there is a problem.
    """
    from dataclasses import asdict

    settings = options.settings_of(
        config, model=model, device=device, precision=precision, label_studio_url=label_studio_url
    )
    findings = []
    for finding in _findings(settings, project):
        findings.append(finding)
        if not as_json:
            click.echo(f"{finding.status:9}  {finding.check:12}  {finding.text}")
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    problems = sum(finding.status == "problem" for finding in findings)
    unchecked = sum(finding.status == "unchecked" for finding in findings)
    if problems or unchecked:
        click.echo(f"labelvino: {problems} problems, {unchecked} not checked", err=True)
    if problems:
        raise SystemExit(1)


def _findings(settings: Settings, project: str | None) -> Iterator[Finding]:
    from backend.checkup.devices import device_findings
    from backend.checkup.label_studio import label_studio_findings
    from backend.checkup.machine import disk_findings
    from backend.checkup.model import model_findings
    from backend.checkup.queue import queue_finding
    from backend.checkup.result_cache import redis_finding
    from backend.checkup.tuned import tuned_finding

    yield from device_findings(settings.device)
    yield from model_findings(settings)
    yield from disk_findings(settings)
    yield redis_finding(settings)
    yield tuned_finding(settings)
    yield queue_finding(settings)
    yield from label_studio_findings(settings, project)
