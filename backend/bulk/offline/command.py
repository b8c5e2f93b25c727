"""What `labelvino prelabel --tasks` does: tasks in files to predictions in a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from backend.bulk.interruption import terminated_as_interrupted
from backend.bulk.offline.journal import Journal
from backend.bulk.offline.own_files import OwnFiles
from backend.bulk.offline.run import OfflineRun
from backend.bulk.offline.task_source import TaskSource
from backend.bulk.summary import Summary
from backend.bulk.tally import Tally
from backend.cache_access import open_result_cache
from backend.fair_pool import FairPool
from backend.label_studio_access import open_image_fetcher
from backend.labelstudio.label_config import parse_label_config
from backend.predictor import Predictor
from backend.progress import progress
from backend.runtime.errors import SettingsError
from backend.serving import open_predictor
from backend.settings import Settings


@dataclass(frozen=True)
class OfflineWishes:
    """The options of the command, named as they are."""

    tasks: Path
    label_config: Path
    out: Path
    image_root: Path | None
    image_prefix: str
    labels: tuple[str, ...]
    limit: int | None
    replace: bool
    as_json: bool


def run_offline(settings: Settings, wishes: OfflineWishes) -> None:
    """Run it, and tell what came of it; ends with exit code 1 where anything failed."""
    xml = _read_config(wishes.label_config)
    source = TaskSource(wishes.tasks, _only_field(xml), wishes.image_prefix)
    journal_path = wishes.out.with_name(f"{wishes.out.name}.journal")
    _check_out(wishes, journal_path)
    with terminated_as_interrupted(), _opened(settings, wishes, source) as (predictor, pool):
        plan = predictor.plan(xml)
        facts = _facts(wishes, source, xml, predictor, plan.model_version)
        with Journal(journal_path, facts, anew=wishes.replace) as journal:
            run = OfflineRun(source, journal, predictor, xml, limit=wishes.limit)
            summary = Summary(str(wishes.out), plan.model_version, what="file")
            total = run.count()
            done = journal.count(total)
            if done:
                click.echo(f"labelvino: {done} of {total} tasks are done already", err=True)
            _run(run, pool, summary, total - done, wishes)
            summary.from_cache = predictor.cache.remembered if predictor.cache else 0
            summary.tell(as_json=wishes.as_json)
            if journal.count(total) == total:
                journal.remove()
    if summary.tally.failed:
        raise SystemExit(1)


def _run(
    run: OfflineRun, pool: FairPool, summary: Summary, waiting: int, wishes: OfflineWishes
) -> None:
    def add(tally: Tally) -> None:
        summary.tally.add(tally)
        advance(tally.tasks)

    try:
        with summary.timed(), progress("tasks", waiting) as advance:
            run.predict(pool, add)
    except KeyboardInterrupt:
        done = summary.tally.done
        click.echo(f"labelvino: {done} more tasks are done: run it again to go on", err=True)
        raise
    run.write(wishes.out)


@contextmanager
def _opened(
    settings: Settings, wishes: OfflineWishes, source: TaskSource
) -> Iterator[tuple[Predictor, FairPool]]:
    with open_image_fetcher(settings) as fetcher:
        root = (wishes.image_root or source.folder).resolve()
        images = OwnFiles(root, settings.max_image_bytes, fetcher)
        pool = FairPool(settings.tasks_at_once, in_turn=False)
        try:
            cache = open_result_cache(settings)
            predictor = open_predictor(
                settings, pool, cache, source=images, throughput=True, labels=wishes.labels
            )
            yield predictor, pool
        finally:
            pool.close()


def _read_config(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"the label config {path} cannot be read: {error}.") from error


def _only_field(xml: str) -> str | None:
    """The field of the only image; None where the config has several images."""
    images = parse_label_config(xml).images
    return images[0].field if len(images) == 1 and not images[0].is_list else None


def _check_out(wishes: OfflineWishes, journal: Path) -> None:
    """Before a model is loaded, and long before something is lost."""
    if wishes.out.resolve() == wishes.tasks.resolve():
        raise SettingsError("--out would write over --tasks: give another file.")
    if wishes.out.is_dir() or not wishes.out.parent.is_dir():
        raise SettingsError(f"{wishes.out} cannot be written: give a file in a folder that exists.")
    if wishes.out.exists() and not journal.exists() and not wishes.replace:
        raise SettingsError(
            f"{wishes.out} is there already: --replace makes it anew, or give another --out."
        )


def _facts(
    wishes: OfflineWishes, source: TaskSource, xml: str, predictor: Predictor, version: str
) -> dict[str, str]:
    """What must be the same for a run that goes on, by what a message calls it."""
    options = predictor.options
    regions = f"{options.choice} {options.regions} {options.score_strategy}"
    return {
        "model version": version,
        "label config": _digest(xml),
        "task file": source.digest(),
        "image root": str(wishes.image_root.resolve()) if wishes.image_root else "",
        "setting for regions": _digest(f"{regions} {options.max_detections}"),
    }


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
