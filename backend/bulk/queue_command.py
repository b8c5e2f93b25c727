"""What `labelvino prelabel --queue` does beside what it does without: the queue, and its words."""

from __future__ import annotations

from dataclasses import replace

import click

from backend.bulk.chunk import ChunkOptions
from backend.bulk.job_queue import JobQueue, queue_name
from backend.bulk.order import Order, config_digest, options_text
from backend.bulk.queue_access import open_queue, queue_address
from backend.bulk.queued import Jobs, QueuedPrelabelling
from backend.config_plan import ConfigPlanner
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.patience import Patience
from backend.runtime.contract import read_contract
from backend.runtime.engine import model_digest, read_ir
from backend.serving import predictor_options
from backend.settings import Settings, model_path
from backend.tuned.access import thresholds_of


def open_queued(
    settings: Settings,
    api: LabelStudioApi,
    project: Project,
    options: ChunkOptions,
    patience: Patience,
    labels: tuple[str, ...] = (),
) -> QueuedPrelabelling:
    """The model is read and not compiled: only workers compute.

    Raises SettingsError, ContractError or LabelConfigError.
    """
    path = model_path(settings)
    redis = open_queue(settings)
    contract = read_contract(read_ir(path), path)
    digest = model_digest(path, contract)
    predictor = replace(predictor_options(settings), labels=labels)
    planner = ConfigPlanner(
        contract,
        digest,
        predictor.choice,
        command_line_threshold=predictor.command_line_threshold,
        settings_threshold=predictor.settings_threshold,
        only=labels,
    )
    tuned = thresholds_of(settings, project.uid, digest, contract.label_names)
    plan = planner.plan(project.label_config, tuned)
    order = Order(
        project.id,
        project.title,
        plan.model_version,
        config_digest(project.label_config),
        options_text(predictor),
        options,
        tuple(sorted(tuned.items())),
    )
    jobs = JobQueue(redis, queue_name(contract.name, digest))
    return QueuedPrelabelling(api, project, plan, order, jobs, patience)


def tell_waiting(settings: Settings) -> None:
    click.echo(
        f"labelvino: workers at {queue_address(settings)} do the work; Ctrl-C ends only the "
        "waiting, and 'labelvino jobs' shows what goes on or takes it back",
        err=True,
    )


def tell_enqueued(job: QueuedPrelabelling, jobs: Jobs, settings: Settings) -> None:
    tasks = sum(map(len, jobs.values()))
    click.echo(
        f"project {job.project.shown}: {tasks} tasks in {len(jobs)} jobs are at "
        f"{queue_address(settings)} for workers, as version {job.model_version}; 'labelvino jobs' "
        "shows how far they are",
        err=True,
    )
