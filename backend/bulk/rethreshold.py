"""What `labelvino rethreshold` does: a project's predictions anew, for new thresholds."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import click

from backend.bulk.chunk import ChunkOptions
from backend.bulk.interruption import terminated_as_interrupted
from backend.bulk.prelabel import Prelabelling
from backend.bulk.selection import Selection
from backend.bulk.summary import Summary
from backend.bulk.tally import Tally
from backend.cache_access import open_result_cache
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.project_tasks import with_version, without_version
from backend.progress import progress
from backend.runtime.errors import LabelStudioError
from backend.serving import open_predictor
from backend.settings import Settings
from backend.tuned.access import thresholds_of


@dataclass(frozen=True)
class RethresholdWishes:
    """The options of the command, named as they are."""

    project: str
    rate: float | None
    dry_run: bool
    as_json: bool


@dataclass(frozen=True)
class Kept:
    """An older version that stays; `tasks` have it, and not the new one."""

    version: str
    tasks: int


def run_rethreshold(settings: Settings, wishes: RethresholdWishes) -> None:
    """Run it, and tell what came of it; ends with exit code 1 where anything failed."""
    with terminated_as_interrupted(), _opened(settings, wishes) as job:
        older = older_versions(job)
        plan = job.make_plan()
        if wishes.dry_run:
            names = ", ".join(older) or "no older version"
            click.echo(
                f"project {job.project.shown}: would make {len(plan.predict)} predictions of "
                f"version {job.model_version}, then remove those of {names}",
                err=True,
            )
            return
        summary = Summary(job.project.shown, job.model_version)
        cache = job.predictor.cache
        try:
            with summary.timed(), progress("tasks", len(plan.predict)) as advance:

                def add(tally: Tally) -> None:
                    summary.tally.add(tally)
                    advance(tally.tasks)

                job.run(plan, add)
                kept = remove_older(job, older)
        finally:
            summary.from_cache = cache.remembered if cache is not None else 0
            summary.tell(as_json=wishes.as_json)
        for left in kept:
            click.echo(
                f"labelvino: {left.version} stays, since {left.tasks} tasks have no prediction of "
                "the new version yet: run it again",
                err=True,
            )
    if summary.tally.failed or summary.tally.left or kept:
        raise SystemExit(1)


def older_versions(job: Prelabelling) -> list[str]:
    """Versions of the same model at other thresholds, as the project has them.

    Raises LabelStudioError where the project has no prediction of this model at all.
    """
    stored = job.patience.call(lambda: job.api.prediction_counts(job.project))
    start = job.predictor.planner.version_start
    found = sorted(version for version in stored if version.startswith(start))
    if not found:
        raise LabelStudioError(
            f"project {job.project.shown} has no predictions of this model ({start}...): make them "
            "with 'labelvino prelabel'."
        )
    return [version for version in found if version != job.model_version]


def remove_older(job: Prelabelling, versions: list[str]) -> list[Kept]:
    """Remove those whose tasks all have the new version; gives the others."""
    kept = []
    for version in versions:
        waiting = (with_version(version), without_version(job.model_version))
        tasks = job.patience.call(partial(job.tasks.count, *waiting))
        if tasks:
            kept.append(Kept(version, tasks))
        else:
            job.patience.call(partial(job.tasks.delete_version, version))
    return kept


@contextmanager
def _opened(settings: Settings, wishes: RethresholdWishes) -> Iterator[Prelabelling]:
    api = open_api(settings)
    with api.client, open_image_fetcher(settings) as source:
        project = api.project(wishes.project)
        pool = FairPool(settings.tasks_at_once, in_turn=False)
        try:
            cache = open_result_cache(settings)
            predictor = open_predictor(settings, pool, cache, source=source, throughput=True)
            selection = Selection(version_start=predictor.planner.version_start)
            options = ChunkOptions(selection, rate=wishes.rate)
            engine = predictor.engine
            tuned = thresholds_of(
                settings, project.uid, engine.model_digest, engine.contract.label_names
            )
            yield Prelabelling(api, project, predictor, pool, options, tuned=tuned)
        finally:
            pool.close()
