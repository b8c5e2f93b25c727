"""What `labelvino prelabel` does: opens the project and the model, runs the job, and tells."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import click

from backend.bulk.chunk import ChunkOptions
from backend.bulk.failures import check_failures_path, read_failures, write_failures
from backend.bulk.interruption import terminated_as_interrupted
from backend.bulk.job import Advance
from backend.bulk.prelabel import Prelabelling
from backend.bulk.queue_access import redis_explained
from backend.bulk.queue_command import open_queued, tell_enqueued, tell_waiting
from backend.bulk.queued import QueuedPrelabelling
from backend.bulk.selection import Plan, Selection
from backend.bulk.summary import Summary
from backend.bulk.tally import Tally
from backend.cache_access import open_result_cache
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.patience import Patience
from backend.progress import progress
from backend.serving import open_predictor
from backend.settings import Settings
from backend.tuned.access import thresholds_of

AnyPrelabelling = Prelabelling | QueuedPrelabelling

_LOOK_EVERY_S = 10.0  # with --watch


@dataclass(frozen=True)
class JobWishes:
    """The options of the command, named as they are."""

    project: str
    view_id: int | None
    only_unlabelled: bool
    labels: tuple[str, ...]
    sample: int | None
    limit: int | None
    seed: int
    only_missing: bool
    covered_share: float
    blank_share: float
    fill_blank: bool
    replace: bool
    failed: Path | None
    retry: Path | None
    rate: float | None
    watch: bool
    dry_run: bool
    as_json: bool
    no_wait: bool  # with a queue


def run_job(settings: Settings, wishes: JobWishes) -> None:
    """Run it, and tell what came of it; ends with exit code 1 where anything failed."""
    with terminated_as_interrupted(), _opened(settings, wishes) as job:
        if wishes.dry_run:
            _tell_plan(job, job.make_plan(), as_json=wishes.as_json)
            return
        if isinstance(job, QueuedPrelabelling):
            if wishes.no_wait:
                tell_enqueued(job, job.enqueue(job.make_plan()), settings)
                return
            tell_waiting(settings)
        summary = Summary(job.project.shown, job.model_version)
        try:
            if wishes.watch:
                _watch(job, summary)
            else:
                _run_all(job, summary)
        except BaseException:
            # A file that is tried again names what was not reached, too: it stays as it is.
            if wishes.failed != wishes.retry:
                _write_failed(job, summary, wishes)
            raise
        else:
            _write_failed(job, summary, wishes)
        finally:
            if isinstance(job, Prelabelling) and job.predictor.cache is not None:
                summary.from_cache = job.predictor.cache.remembered
            summary.tell(as_json=wishes.as_json)
    if summary.tally.failed or summary.tally.left:
        raise SystemExit(1)


def _write_failed(job: AnyPrelabelling, summary: Summary, wishes: JobWishes) -> None:
    if wishes.failed is not None:
        write_failures(wishes.failed, job.project.id, job.model_version, summary.tally.failed)


@contextmanager
def _opened(settings: Settings, wishes: JobWishes) -> Iterator[AnyPrelabelling]:
    if wishes.failed is not None:
        check_failures_path(wishes.failed)
    api = open_api(settings)
    with api.client, open_image_fetcher(settings) as source:
        # First, since a wrong token or title is told in a moment, and a model takes its time.
        project = api.project(wishes.project)
        ids = read_failures(wishes.retry, project.id) if wishes.retry else None
        options = _chunk_options(wishes, ids)
        patience = Patience(give_up_s=math.inf) if wishes.watch else Patience()
        if settings.queue_url is not None:
            with redis_explained(settings):
                yield open_queued(settings, api, project, options, patience, wishes.labels)
            return
        pool = FairPool(settings.tasks_at_once, in_turn=False)
        try:
            cache = open_result_cache(settings)
            predictor = open_predictor(
                settings, pool, cache, source=source, throughput=True, labels=wishes.labels
            )
            engine = predictor.engine
            tuned = thresholds_of(
                settings, project.uid, engine.model_digest, engine.contract.label_names
            )
            yield Prelabelling(api, project, predictor, pool, options, patience, tuned=tuned)
        finally:
            pool.close()


def _chunk_options(wishes: JobWishes, task_ids: tuple[int, ...] | None) -> ChunkOptions:
    selection = Selection(
        view_id=wishes.view_id,
        task_ids=task_ids,
        only_unlabelled=wishes.only_unlabelled,
        replace=wishes.replace,
        fill_blank=wishes.fill_blank,
        sample=wishes.sample,
        limit=wishes.limit,
        blank_share=wishes.blank_share,
        seed=wishes.seed,
    )
    return ChunkOptions(
        selection, wishes.covered_share if wishes.only_missing else None, wishes.rate
    )


def _run_all(job: AnyPrelabelling, summary: Summary) -> None:
    """Everything that is there now."""
    if isinstance(job, QueuedPrelabelling) or not job.options.selection.can_be_listed:
        _run_once(job, job.make_plan(), summary)
        return
    with summary.timed(), progress("tasks", job.count()) as advance:
        job.run_listed(_adding_to(summary, advance))


def _run_once(job: AnyPrelabelling, plan: Plan, summary: Summary) -> None:
    with summary.timed(), progress("tasks", len(plan.predict) + len(plan.blank)) as advance:
        job.run(plan, _adding_to(summary, advance))


def _adding_to(summary: Summary, advance: Callable[[int], None]) -> Advance:
    def add(tally: Tally) -> None:
        summary.tally.add(tally)
        advance(tally.tasks)

    return add


def _watch(job: AnyPrelabelling, summary: Summary) -> None:
    """Ctrl-C is the end that is meant."""
    try:
        job.finish()  # of a run that was broken off
        while True:
            plan = job.make_plan()
            # What has failed is not tried again and again.
            tried = summary.tally.failed
            plan = replace(plan, predict=tuple(i for i in plan.predict if i not in tried))
            if plan.predict or plan.blank:
                _run_once(job, plan, summary)
            time.sleep(_LOOK_EVERY_S)
    except KeyboardInterrupt:
        click.echo("labelvino: no longer watching", err=True)


def _tell_plan(job: AnyPrelabelling, plan: Plan, *, as_json: bool) -> None:
    if as_json:
        content = {
            "project": job.project.shown,
            "model_version": job.model_version,
            "would_predict": len(plan.predict),
            "would_leave_blank": len(plan.blank),
        }
        click.echo(json.dumps(content, indent=2, ensure_ascii=False))
        return
    click.echo(
        f"project {job.project.shown}: would predict {len(plan.predict)} tasks and leave "
        f"{len(plan.blank)} blank, as version {job.model_version}",
        err=True,
    )
