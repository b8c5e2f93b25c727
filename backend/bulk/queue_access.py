"""Settings -> the Redis that holds bulk jobs."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis
from redis.backoff import AbstractBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.retry import Retry

from backend.redis_store import connect_redis, redis_reason, shown_redis
from backend.runtime.errors import SettingsError
from backend.settings import Settings

log = logging.getLogger("labelvino")

_SETTING = "LABELVINO_QUEUE_URL"
_TIMEOUT_S = 15.0  # longer than a worker waits for a job in one call
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 5.0
_TOLD_EVERY = 12


def open_queue(settings: Settings) -> Redis:
    """A client that waits for Redis, without end, where it goes away later.

    Raises SettingsError where no Redis is given, or it does not answer now.
    """
    if settings.queue_url is None:
        raise SettingsError(f"no queue is given: use --queue redis://host:port, or {_SETTING}.")
    url = settings.queue_url.get_secret_value()
    given: dict[str, Any] = {"ca_bundle": settings.ca_bundle, "setting": _SETTING}
    given["timeout_s"] = _TIMEOUT_S
    with connect_redis(url, **given) as once:
        facts = queue_facts(once, shown_redis(url))
    if not facts.get("aof_enabled"):
        log.warning(
            "Redis at %s loses jobs at a restart: start it with --appendonly yes; another "
            "'labelvino prelabel' completes what was lost",
            shown_redis(url),
        )
    return connect_redis(url, retry=Retry(_Waits(shown_redis(url)), -1), **given)


def queue_address(settings: Settings) -> str:
    """The address as messages may show it."""
    return shown_redis(settings.queue_url.get_secret_value()) if settings.queue_url else ""


@contextmanager
def redis_explained(settings: Settings) -> Iterator[None]:
    """Where Redis answers but refuses, that becomes a SettingsError."""
    try:
        yield
    except RedisError as error:
        raise SettingsError(
            f"Redis at {queue_address(settings)} refuses ({redis_reason(error)}): correct what it "
            "names, such as its maxmemory or the rights of its user; then the same command goes on."
        ) from error


def queue_facts(client: Redis, where: str) -> dict[str, Any]:
    """What Redis says of itself. Raises SettingsError where it cannot hold jobs."""
    try:
        facts: dict[str, Any] = client.info()
    except AuthenticationError as error:
        raise SettingsError(
            f"Redis at {where} does not accept user or password ({redis_reason(error)}): correct "
            f"{_SETTING}, special characters percent-encoded."
        ) from None
    except RedisError as error:
        raise SettingsError(
            f"Redis at {where} does not answer ({redis_reason(error)}): start it, or correct "
            f"{_SETTING}."
        ) from None
    if facts.get("role") in ("slave", "replica"):
        raise SettingsError(f"Redis at {where} is a read-only replica: give its master.")
    policy = str(facts.get("maxmemory_policy"))
    if facts.get("maxmemory") and policy.startswith("allkeys"):
        raise SettingsError(
            f"Redis at {where} forgets jobs when it is full (maxmemory-policy {policy}): set "
            "maxmemory-policy volatile-lru, which leaves jobs alone."
        )
    return facts


class _Waits(AbstractBackoff):
    """Double each time, with jitter, and told now and then."""

    def __init__(self, where: str) -> None:
        self._where = where

    def compute(self, failures: int) -> float:
        """Seconds until the next attempt."""
        if failures % _TOLD_EVERY == 2:  # the first is often a connection that a restart has cut
            log.warning("Redis at %s does not answer: it is waited for", self._where)
        wait_s: float = min(_FIRST_WAIT_S * 2 ** min(failures, 10), _LONGEST_WAIT_S)
        return wait_s * random.uniform(0.5, 1.0)  # noqa: S311
