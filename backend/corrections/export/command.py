"""What `labelvino export` does: a project's annotations as a COCO file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path
from typing import Literal

from backend.bulk.interruption import terminated_as_interrupted
from backend.corrections.export.categories import Categories, categories_of
from backend.corrections.export.coco_export import CocoExport, CocoOptions
from backend.corrections.export.coco_instances import Segmentation
from backend.corrections.export.outcome import ExportReport
from backend.corrections.history import AnnotatedTask, annotated_tasks
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.project_tasks import ProjectTasks, with_annotations
from backend.progress import progress
from backend.runtime.engine import load_contract
from backend.runtime.image import ImageLimits
from backend.settings import Settings, model_path

Several = Literal["latest", "first"]
_AT_ONCE = 32  # tasks whose images are in memory


@dataclass(frozen=True)
class ExportWishes:
    """The options of the command, named as they are."""

    project: str
    coco: Path
    model: Path | None
    segmentation: Segmentation
    images: bool
    several: Several
    as_json: bool


def run_export(settings: Settings, wishes: ExportWishes) -> None:
    """Write the files, and tell; ends with exit code 1 where a task failed."""
    api = open_api(settings)
    with terminated_as_interrupted(), api.client, open_image_fetcher(settings) as source:
        project = api.project(wishes.project)
        report = ExportReport(project.shown)
        config = parse_label_config(project.label_config)
        labels = load_contract(model_path(settings)).labels if wishes.model is not None else None
        categories = categories_of(config, labels)
        limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
        options = CocoOptions(wishes.segmentation, wishes.images, limits)
        pool = FairPool(settings.tasks_at_once)
        try:
            export = CocoExport(wishes.coco, config, categories, source, pool, options, report)
            _add_all(export, api, project, wishes.several, report)
        finally:
            pool.close()
    report.notes += _notes(categories)
    report.tell(export.write(), as_json=wishes.as_json)
    if report.failed:
        raise SystemExit(1)


def _add_all(
    export: CocoExport,
    api: LabelStudioApi,
    project: Project,
    several: Several,
    report: ExportReport,
) -> None:
    tasks = ProjectTasks(api.calls, project.id)
    annotated = tasks.count(with_annotations())
    report.left_out = tasks.count() - annotated
    found = annotated_tasks(api, project, current_version="", all_annotations=several == "first")
    with progress("tasks", annotated) as advance:
        one_each = _one_each(found)
        while page := list(islice(one_each, _AT_ONCE)):
            export.add(page)
            advance(len(page))


def _one_each(found: Iterator[AnnotatedTask]) -> Iterator[AnnotatedTask]:
    """The first annotation of each task; they stand in the order in which they were saved."""
    for _, of_task in groupby(found, key=lambda each: each.task_id):
        yield next(of_task)


def _notes(categories: Categories) -> list[str]:
    return [
        *categories.notes,
        *(
            f"label '{label}' is not in the labelling config; it is category "
            f"{categories.of(label).id}"
            for label in categories.foreign
        ),
    ]
