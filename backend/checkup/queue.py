"""The queue of bulk jobs: the Redis that holds it, its workers and its runs."""

from __future__ import annotations

import time

from redis.exceptions import RedisError
from rq.worker_registration import get_keys

from backend.bulk.ledger import Ledger
from backend.bulk.queue_access import queue_address, queue_facts
from backend.checkup.finding import Finding, attempt
from backend.redis_store import connect_redis, redis_reason
from backend.settings import Settings

_TIMEOUT_S = 3.0


def queue_finding(settings: Settings) -> Finding:
    """One line; nothing is written."""
    if settings.queue_url is None:
        text = "not used: 'labelvino prelabel' works in its own process."
        return Finding("queue", "ok", text)
    return attempt("queue", lambda: _look(settings))


def _look(settings: Settings) -> Finding:
    assert settings.queue_url is not None  # noqa: S101 - the caller has looked
    url, where = settings.queue_url.get_secret_value(), queue_address(settings)
    client = connect_redis(
        url, timeout_s=_TIMEOUT_S, ca_bundle=settings.ca_bundle, setting="LABELVINO_QUEUE_URL"
    )
    with client:
        facts = queue_facts(client, where)
        began_s = time.monotonic()
        try:
            workers = len(get_keys(connection=client))
            runs = [run for run in Ledger(client).runs() if not run.is_closed]
        except RedisError as error:
            text = f"Redis at {where} refuses ({redis_reason(error)}): its user needs all commands."
            return Finding("queue", "problem", text)
        took_ms = (time.monotonic() - began_s) * 1000
    text = f"{where}, version {facts.get('redis_version', 'unknown')}, asked in {took_ms:.0f} ms"
    text += f", {workers} workers, {len(runs)} runs under way"
    if runs and not workers:
        return Finding("queue", "problem", f"{text}: start one, 'labelvino worker --model ...'.")
    if not facts.get("aof_enabled"):
        remark = "it loses jobs at a restart: start it with --appendonly yes."
        return Finding("queue", "hint", f"{text}: {remark}")
    return Finding("queue", "ok", f"{text} ('labelvino jobs' says more)")
