"""What `labelvino tune` does: opens the project and the model, tunes, tells, stores."""

from __future__ import annotations

import json
from dataclasses import dataclass

import click
from rich.console import Console

from backend.bulk.interruption import terminated_as_interrupted
from backend.cache_access import open_result_cache
from backend.corrections.tuning.options import tuning_options
from backend.corrections.tuning.project_tuning import ProjectTuning, TuningWork
from backend.corrections.tuning.words import (
    head_lines,
    label_table,
    pooled_line,
    seen_labels,
    to_json,
    verdict_line,
)
from backend.fair_pool import FairPool
from backend.label_studio_access import open_api, open_image_fetcher
from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.project_tasks import ProjectTasks, with_annotations
from backend.progress import progress
from backend.runtime.engine import load_contract, model_digest
from backend.serving import open_predictor
from backend.settings import Settings, model_path
from backend.tuned.access import open_tuned_store
from backend.tuned.reader import stored
from backend.tuned.store import TunedStore

_WIDTH_OF_PIPES = 150


@dataclass(frozen=True)
class TuneWishes:
    """The options of the command, named as they are."""

    project: str
    apply: bool
    reset: bool
    seed: int
    as_json: bool


def run_tune(settings: Settings, wishes: TuneWishes) -> None:
    """Raises LabelvinoError."""
    store = open_tuned_store(settings)
    api = open_api(settings)
    with terminated_as_interrupted(), api.client:
        project = api.project(wishes.project)
        if wishes.reset:
            _reset(settings, store, project, as_json=wishes.as_json)
            return
        found = _tune(settings, api, store, project, wishes)
        applied = wishes.apply and found.tuning.is_worth_it
        if applied:
            found.store(store, api.client.shown_address)
    if wishes.as_json:
        click.echo(json.dumps(to_json(found, applied=applied), indent=2, ensure_ascii=False))
    else:
        _tell(found)
    _say_what_now(found, store, applied=applied)


def _tune(
    settings: Settings,
    api: LabelStudioApi,
    store: TunedStore,
    project: Project,
    wishes: TuneWishes,
) -> ProjectTuning:
    pool = FairPool(settings.tasks_at_once, in_turn=False)
    try:
        with open_image_fetcher(settings) as source:
            # A threshold of the settings, wherever it was given, stands behind tuned ones.
            predictor = open_predictor(
                settings, pool, open_result_cache(settings), source=source, throughput=True
            )
            number = ProjectTasks(api.calls, project.id).count(with_annotations())
            most = settings.tune_tasks
            engine = predictor.engine
            names = engine.contract.label_names
            before = stored(store, project.uid, engine.model_digest, names)
            with progress("tasks", min(number, most)) as advance:
                options = tuning_options(settings, wishes.seed)
                work = TuningWork(api, predictor, pool, options, most, advance)
                return work.run(project, before)
    finally:
        pool.close()


def _reset(settings: Settings, store: TunedStore, project: Project, *, as_json: bool) -> None:
    path = model_path(settings)
    digest = model_digest(path, load_contract(path))
    removed = store.remove(project.uid, digest)
    if as_json:
        click.echo(json.dumps({"project": project.shown, "removed": removed}, ensure_ascii=False))
    what = "removed the tuned thresholds" if removed else "there were no tuned thresholds"
    click.echo(f"labelvino: {what} of project {project.shown} in {store.where}", err=True)


def _tell(found: ProjectTuning) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_WIDTH_OF_PIPES)
    for line in head_lines(found):
        console.print(line, markup=False)
    if found.tuning.effect is not None and seen_labels(found):
        console.print()
        console.print(label_table(found))
        console.print()
        console.print(pooled_line(found) or "", markup=False)
    console.print(verdict_line(found), markup=False)


def _say_what_now(found: ProjectTuning, store: TunedStore, *, applied: bool) -> None:
    if applied:
        click.echo(
            f"labelvino: stored in {store.where}: backends that use it take them with the next "
            f"request, and predictions get a new version; {len(found.thresholds)} labels are tuned",
            err=True,
        )
    elif found.tuning.is_worth_it:
        click.echo("labelvino: nothing is stored; --apply puts them in force", err=True)
