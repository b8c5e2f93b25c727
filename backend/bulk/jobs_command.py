"""What `labelvino jobs` does: shows runs, workers and given-up tasks; retries and cancels."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
from redis import Redis

from backend.bulk.job import chunks
from backend.bulk.job_queue import JobQueue, Kind
from backend.bulk.ledger import Ledger, Run
from backend.bulk.queue_access import open_queue, queue_address, redis_explained
from backend.settings import Settings

_SHOWN = 5  # tasks of one reason


def tell_jobs(settings: Settings, project_id: int | None, *, as_json: bool) -> None:
    """Everything to stdout."""
    with redis_explained(settings), open_queue(settings) as redis:
        found = [_content(JobQueue(redis, run.queue), run) for run in _runs(redis, project_id)]
    if as_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return
    if not found:
        click.echo(f"labelvino: no jobs at {queue_address(settings)}", err=True)
    for run in found:
        _tell(run)


def retry_dead(settings: Settings, project_id: int | None) -> None:
    """Tasks that were given up, into the queue again, with the options they had."""
    tasks = 0
    with redis_explained(settings), open_queue(settings) as redis:
        for run in _runs(redis, project_id):
            ledger = Ledger(redis)
            dead = ledger.dead(run.id)
            if dead:
                # They are struck off the list when they are done.
                wanted: list[tuple[Kind, Sequence[int]]]
                wanted = [("predict", ids) for ids in chunks(list(dead))]
                JobQueue(redis, run.queue).plan(run.order, wanted)
                tasks += len(dead)
    click.echo(f"labelvino: {tasks} tasks are in the queue again", err=True)


def cancel_jobs(settings: Settings, project_id: int | None) -> None:
    """Jobs that are under way go on to their end."""
    with redis_explained(settings), open_queue(settings) as redis:
        runs = _runs(redis, project_id)
        tasks = sum(JobQueue(redis, run.queue).cancel(run.id) for run in runs)
    click.echo(f"labelvino: {tasks} tasks are taken back; what is under way ends", err=True)


def _runs(redis: Redis, project_id: int | None) -> list[Run]:
    found = Ledger(redis).runs()
    return [run for run in found if project_id is None or run.order.project_id == project_id]


def _content(jobs: JobQueue, run: Run) -> dict[str, Any]:
    total = jobs.ledger.total(run.id)
    states = jobs.states(run.id)
    workers = jobs.workers()
    return {
        "run": run.id,
        "project": run.order.project_id,
        "title": run.order.project_title,
        "model_version": run.order.model_version,
        "state": _state(run, states, workers),
        "error": run.error,
        "tasks": run.planned,
        "done": total.done + total.blank,
        "empty": total.empty,
        "skipped": total.skipped,
        "taken_back": total.left,
        "given_up": [{"task": i, "reason": r} for i, r in jobs.ledger.dead(run.id).items()],
        "jobs": states,
        "workers": [
            {"name": w["name"], "state": w.get("state", ""), "job": w.get("current_job", "")}
            for w in workers
        ],
    }


def _state(run: Run, states: Mapping[str, int], workers: list[dict[str, str]]) -> str:
    if run.is_closed:
        return "failed at the end" if run.error else "done"
    if not workers:
        return "no worker has this model"
    return "under way" if states["started"] else "waiting"


def _tell(run: dict[str, Any]) -> None:
    states = run["jobs"]
    settled = run["done"] + run["skipped"] + run["taken_back"] + len(run["given_up"])
    click.echo(
        f"project {run['project']} '{run['title']}', version {run['model_version']}: "
        f"{run['state']}, {settled} of {run['tasks']} tasks"
    )
    if run["error"]:
        click.echo(f"  {run['error']}")
    counts = f"{run['done']} done ({run['empty']} empty), {len(run['given_up'])} given up"
    counts += f", {run['skipped']} skipped" if run["skipped"] else ""
    counts += f", {run['taken_back']} taken back" if run["taken_back"] else ""
    click.echo(f"  tasks: {counts}")
    if any(states.values()):
        click.echo(
            f"  jobs: {states['started']} under way, {states['queued']} waiting, "
            f"{states['scheduled']} to be tried again"
        )
    for worker in run["workers"]:
        click.echo(f"  worker {worker['name']}: {worker['state']}")
    reasons: dict[str, list[int]] = {}
    for entry in run["given_up"]:
        reasons.setdefault(entry["reason"], []).append(entry["task"])
    for reason, ids in sorted(reasons.items(), key=lambda item: -len(item[1])):
        more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
        click.echo(f"  task {', '.join(map(str, ids[:_SHOWN]))}{more}: {reason}")
    if reasons:
        click.echo("  'labelvino jobs --retry' puts them into the queue again")
