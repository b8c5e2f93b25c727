"""What `labelvino review` does: a model against a project's annotations."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import click

from backend.bulk.interruption import terminated_as_interrupted
from backend.cache_access import open_result_cache
from backend.corrections.history import annotated_tasks
from backend.corrections.review.crop_sheets import write_sheets
from backend.corrections.review.fields import clear_fields, field_values, write_fields
from backend.corrections.review.findings import KINDS, Finding
from backend.corrections.review.reviewer import Reviewer, TaskFinding
from backend.corrections.review.text import finding_json, print_findings
from backend.fair_pool import FairPool
from backend.image_results import ImageSource
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.label_config import parse_label_config
from backend.labelstudio.project_tasks import ProjectTasks, with_annotations
from backend.progress import progress
from backend.runtime.image import ImageLimits
from backend.serving import open_predictor
from backend.settings import Settings
from backend.tuned.access import thresholds_of

_AT_ONCE = 32  # tasks
_REASONS_SHOWN = 10


@dataclass(frozen=True)
class ReviewWishes:
    """The options of the command, named as they are."""

    project: str
    min_confidence: float
    limit: int
    sheets: Path | None
    write: bool
    clear: bool
    as_json: bool


def run_review(settings: Settings, wishes: ReviewWishes) -> None:
    """Run it, and tell what came of it; ends with exit code 1 where a task failed."""
    api = open_api(settings)
    with terminated_as_interrupted(), api.client, open_image_fetcher(settings) as source:
        project = api.project(wishes.project)
        if wishes.clear:
            _clear(api, project)
            return
        reviewer, version = _reviewed(settings, wishes, api, project, source)
        findings = reviewer.findings()
        if wishes.write:
            written = _write(api, project, reviewer, findings)
            click.echo(f"project {project.shown}: {written} tasks changed", err=True)
        if wishes.sheets is not None:
            limits = ImageLimits(settings.max_image_bytes, settings.max_image_pixels)
            config = parse_label_config(project.label_config)
            for sheet in write_sheets(wishes.sheets, findings, config, source, limits):
                click.echo(f"labelvino: wrote {sheet}", err=True)
    if wishes.as_json:
        content = _content(project, version, wishes, reviewer, findings)
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
    else:
        print_findings(findings, wishes.limit)
    _tell(project, version, reviewer, findings)
    if reviewer.failed:
        raise SystemExit(1)


def _reviewed(
    settings: Settings,
    wishes: ReviewWishes,
    api: LabelStudioApi,
    project: Project,
    source: ImageSource,
) -> tuple[Reviewer, str]:
    """What the model says of all annotated tasks; and its version."""
    pool = FairPool(settings.tasks_at_once, in_turn=False)
    try:
        cache = open_result_cache(settings)
        predictor = open_predictor(settings, pool, cache, source=source, throughput=True)
        engine = predictor.engine
        names = engine.contract.label_names
        tuned = thresholds_of(settings, project.uid, engine.model_digest, names)
        plan = predictor.plan(project.label_config, tuned)
        reviewer = Reviewer(predictor, plan, pool, wishes.min_confidence)
        total = ProjectTasks(api.calls, project.id).count(with_annotations())
        tasks = annotated_tasks(api, project, current_version="")
        with progress("tasks", total) as advance:
            while page := list(islice(tasks, _AT_ONCE)):
                reviewer.add(page)
                advance(len(page))
    finally:
        pool.close()
    return reviewer, plan.model_version


def _write(
    api: LabelStudioApi, project: Project, reviewer: Reviewer, findings: Sequence[TaskFinding]
) -> int:
    by_task: dict[int, list[Finding]] = {task_id: [] for task_id in reviewer.task_ids}
    for each in findings:
        by_task[each.task_id].append(each.finding)
    wanted = {task_id: field_values(of_task) for task_id, of_task in by_task.items()}
    with progress("written", len(wanted)) as advance:
        return write_fields(ProjectTasks(api.calls, project.id), wanted, advance)


def _clear(api: LabelStudioApi, project: Project) -> None:
    changed = clear_fields(ProjectTasks(api.calls, project.id))
    click.echo(
        f"project {project.shown}: removed the review's fields from {changed} tasks", err=True
    )


def _content(
    project: Project,
    version: str,
    wishes: ReviewWishes,
    reviewer: Reviewer,
    findings: Sequence[TaskFinding],
) -> Mapping[str, Any]:
    return {
        "project": project.shown,
        "model_version": version,
        "min_confidence": wishes.min_confidence,
        "tasks": len(reviewer.task_ids),
        "instances": reviewer.instances,
        "instances_judged": reviewer.judged,
        "regions_not_read": reviewer.unread,
        "counts": {kind: _number(findings, kind) for kind in KINDS},
        "findings": [finding_json(each) for each in findings],
        "failed": [{"task": task, "reason": reason} for task, reason in reviewer.failed],
    }


def _number(findings: Sequence[TaskFinding], kind: str) -> int:
    return sum(each.finding.kind == kind for each in findings)


def _tell(
    project: Project, version: str, reviewer: Reviewer, findings: Sequence[TaskFinding]
) -> None:
    counts = ", ".join(f"{_number(findings, kind)} likely {kind}" for kind in KINDS)
    click.echo(
        f"project {project.shown}: {len(reviewer.task_ids)} tasks with {reviewer.instances} "
        f"instances, {reviewer.judged} of labels that the model knows: {counts}; model {version}",
        err=True,
    )
    if reviewer.unread:
        click.echo(f"labelvino: {reviewer.unread} regions could not be read", err=True)
    for task_id, reason in reviewer.failed[:_REASONS_SHOWN]:
        click.echo(f"labelvino: task {task_id}: failed: {reason}", err=True)
    if len(reviewer.failed) > _REASONS_SHOWN:
        click.echo(f"labelvino: ... and {len(reviewer.failed) - _REASONS_SHOWN} more", err=True)
