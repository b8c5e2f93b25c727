"""The result cache: Redis, where it is configured."""

from __future__ import annotations

import time
from typing import Any

from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from backend.checkup.finding import Finding, Status, attempt
from backend.redis_store import connect_redis, redis_reason, shown_redis
from backend.settings import Settings

# Longer than the cache itself waits, to tell a slow Redis from one that is not there.
_TIMEOUT_S = 3.0
_SLOW_MS = 50.0
# Evicts only what has a time to live, as results have: the jobs of a queue stay.
_POLICY = "volatile-lru"


def redis_finding(settings: Settings) -> Finding:
    """One line; nothing is written."""
    if not settings.result_cache:
        return Finding("redis", "ok", "not used: the result cache is off.")
    if settings.redis_url is None:
        text = f"not used: results are kept in memory only ({settings.result_cache_bytes:,} bytes)."
        return Finding("redis", "ok", text)
    return attempt("redis", lambda: _look(settings))


def _look(settings: Settings) -> Finding:
    assert settings.redis_url is not None  # noqa: S101 - the caller has looked
    url = settings.redis_url.get_secret_value()
    where = shown_redis(url)
    client = connect_redis(url, timeout_s=_TIMEOUT_S, ca_bundle=settings.ca_bundle)
    try:
        client.ping()  # connects, too
        began_s = time.monotonic()
        client.ping()
        ping_ms = (time.monotonic() - began_s) * 1000
        facts: dict[str, Any] = client.info()
    except NoPermissionError as error:
        text = f"{where} answers, but its user may not look further ({redis_reason(error)})."
        return Finding("redis", "hint", f"{text} It needs PING, GET and SET.")
    except RedisError as error:
        return Finding("redis", "problem", _problem(where, error))
    finally:
        client.close()
    status, remark = _remark(facts, ping_ms)
    text = f"{where}, version {facts.get('redis_version', 'unknown')}, ping {ping_ms:.1f} ms"
    return Finding("redis", status, f"{text}, {_memory(facts)}{remark}")


def _problem(where: str, error: RedisError) -> str:
    reason = redis_reason(error)
    if isinstance(error, AuthenticationError) or "NOAUTH" in reason or "WRONGPASS" in reason:
        return (
            f"{where} does not accept user or password ({reason}): set LABELVINO_REDIS_URL to "
            "redis://[user]:password@host:port, special characters percent-encoded."
        )
    if isinstance(error, ResponseError):
        return f"{where} refuses ({reason}): correct what it names."
    return (
        f"{where} does not answer ({reason}): start it, or correct LABELVINO_REDIS_URL (inside a "
        "container localhost is the container itself); predictions go on without it."
    )


def _remark(facts: dict[str, Any], ping_ms: float) -> tuple[Status, str]:
    """Status, and what should be changed."""
    if facts.get("role") in ("slave", "replica"):
        return "problem", ": it is a read-only replica: give the address of its master."
    if not facts.get("maxmemory"):
        return "hint", f": set maxmemory, with maxmemory-policy {_POLICY}, or it grows on."
    if facts.get("maxmemory_policy") == "noeviction":
        return "hint", f": when it is full it refuses new results: set maxmemory-policy {_POLICY}."
    if ping_ms > _SLOW_MS:
        return "hint", ": it is far away or busy; the cache waits 0.5 s for it at most."
    return "ok", ""


def _memory(facts: dict[str, Any]) -> str:
    used = f"{facts.get('used_memory', 0) / 1e6:.0f}"
    limit = facts.get("maxmemory")
    most = f" of {limit / 1e6:.0f}" if limit else ""
    return f"{used}{most} MB used, eviction {facts.get('maxmemory_policy', 'unknown')}"
