"""What `labelvino report` does: reads the project, compares, tells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from backend.corrections.history import annotated_tasks, current_version_of
from backend.corrections.report.page import report_sections
from backend.corrections.report.pictures import draw_examples
from backend.corrections.report.report import Collected, collect, report_json
from backend.corrections.report.text import print_report
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.label_config import LabelConfig, parse_label_config
from backend.labelstudio.project_tasks import ProjectTasks, with_annotations
from backend.progress import progress
from backend.runtime.errors import SettingsError
from backend.runtime.image import ImageLimits
from backend.runtime.page.document import render_page, strict_json
from backend.settings import Settings


@dataclass(frozen=True)
class ReportWishes:
    """The options of the command, named as they are."""

    project: str
    html: Path | None
    pictures: int
    all_annotations: bool
    confusion_share: float
    as_json: bool


def run_report(settings: Settings, wishes: ReportWishes) -> None:
    """Raises LabelStudioError, LabelConfigError or SettingsError."""
    if wishes.html is not None:
        check_page_path(wishes.html)
    api = open_api(settings)
    with api.client:
        project = api.project(wishes.project)
        config = parse_label_config(project.label_config)
        version = current_version_of(api, project)
        number = ProjectTasks(api.calls, project.id).count(with_annotations())
        tasks = annotated_tasks(
            api, project, current_version=version, all_annotations=wishes.all_annotations
        )
        with progress("tasks", number) as advance:
            found = collect(tasks, wishes.pictures if wishes.html else 0, advance)
        report = report_json(
            project,
            api.client.shown_address,
            found.tasks,
            config,
            made_at=datetime.now(UTC),
            current_version=version,
            confusion_share=wishes.confusion_share,
        )
    if wishes.html is not None:
        _write_page(settings, wishes.html, wishes.pictures, report, found, config)
    if wishes.as_json:
        click.echo(strict_json(report, indent=2))
    else:
        print_report(report)


def check_page_path(path: Path) -> None:
    """Raises SettingsError where nothing can be written there: before an hour of reading."""
    if path.is_dir():
        raise SettingsError(f"--html {path} is a folder: give a file name, such as report.html.")
    if not path.parent.is_dir():
        raise SettingsError(f"--html {path}: there is no folder {path.parent}; create it first.")


def _write_page(
    settings: Settings,
    path: Path,
    most: int,
    report: dict[str, Any],
    found: Collected,
    config: LabelConfig,
) -> None:
    """Raises SettingsError where the file cannot be written."""
    limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
    with open_image_fetcher(settings) as source:
        pictures, lost = draw_examples(found.worst, config, source, limits, most)
    for line in lost:
        click.echo(f"labelvino: {line}", err=True)
    sections = report_sections(report, [each.name for each in pictures], lost)
    title = f"What people changed: {report['project']['title']}"
    content = render_page(title, sections, pictures)
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(content, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SettingsError(f"--html {path} cannot be written: {error.strerror}.") from error
    click.echo(f"labelvino: wrote {path} with {len(pictures)} pictures", err=True)
