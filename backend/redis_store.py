"""The result cache's store in Redis, for several backends and for restarts."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from urllib.parse import urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

from backend.runtime.candidates import Candidates
from backend.runtime.candidates_format import FormatError, pack_candidates, unpack_candidates
from backend.runtime.errors import SettingsError

log = logging.getLogger("labelvino")

NAMESPACE = "labelvino:result:"
TIMEOUT_S = 0.5  # of connecting, and of each answer
RETRY_AFTER_S = 15.0  # Redis that failed is left alone for so long


def connect_redis(
    url: str,
    *,
    timeout_s: float = TIMEOUT_S,
    ca_bundle: Path | None = None,
    retry: Retry | None = None,
    setting: str = "LABELVINO_REDIS_URL",
) -> Redis:
    """A client; it connects when it is used. Raises SettingsError for what is no address.

    Without `retry` there is one attempt a call: what a cache does not have is computed, sooner than
    waited for. `setting`: where the address comes from, for the error.
    """
    given = {"ssl_ca_certs": str(ca_bundle)} if ca_bundle and url.startswith("rediss:") else {}
    try:
        _check_parts(url)
        client = Redis.from_url(
            url,
            socket_connect_timeout=timeout_s,
            socket_timeout=timeout_s,
            retry=retry or Retry(NoBackoff(), 0),
            client_name="labelvino",
            **given,
        )
    except (ValueError, TypeError, RedisError):
        raise SettingsError(
            f"{setting} cannot be used ({shown_redis(url)}): set it to "
            "redis://[user:password@]host[:port][/number], or rediss:// for TLS."
        ) from None
    return client


def _check_parts(url: str) -> None:
    """Raises ValueError for parts that redis-py takes, but that cannot work here."""
    parts = urlsplit(url)
    if not url.startswith("unix:") and not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError("the database is no number, and redis-py would take database 0")
    if "decode_responses" in parts.query:
        raise ValueError("values are bytes, and no text")


def shown_redis(url: str) -> str:
    """Host, port and database of a Redis address, without user and password."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "damaged"
    return f"{parts.scheme}://{host}{port}{parts.path}" if parts.scheme else "no scheme"


class RedisStore:
    """Candidates under namespaced, versioned keys, for `ttl_s` seconds each.

    Never raises: Redis that fails is told once, left alone for RETRY_AFTER_S, and then asked again.
    """

    name = "redis"

    def __init__(
        self,
        client: Redis,
        address: str,
        *,
        ttl_s: int,
        max_value_bytes: int,
        on_error: Callable[[str, str], None] = lambda _store, _outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address`: as messages may show it; `on_error`: told (store name, "error") each time."""
        self._client = client
        self._address = address
        self._ttl_s = ttl_s
        self._max_value_bytes = max_value_bytes
        self._on_error = on_error
        self._clock = clock
        self._lock = Lock()
        self._retry_at_s: float | None = None  # None: it answered the last time

    def get(self, key: str) -> Candidates | None:
        """What Redis has, if it can be read; damaged and foreign values are misses."""
        if self._is_left_alone():
            return None
        try:
            data = self._client.get(NAMESPACE + key)
        except ResponseError as error:
            if "WRONGTYPE" not in str(error):
                self._failed(error)
                return None
            self._foreign(key, "it is no plain value")
            return None
        except RedisError as error:
            self._failed(error)
            return None
        self._answered()
        if not isinstance(data, bytes):
            return None
        try:
            return unpack_candidates(data, key)
        except FormatError as error:
            self._foreign(key, str(error))
            return None

    def put(self, key: str, found: Candidates) -> None:
        """Store it with the time to live; values that are too large are left out."""
        if self._is_left_alone():
            return
        data = pack_candidates(found, key)
        if len(data) > self._max_value_bytes:
            log.debug("a result of %d bytes is too large for Redis", len(data))
            return
        try:
            self._client.set(NAMESPACE + key, data, ex=self._ttl_s)
        except RedisError as error:
            self._failed(error)
        else:
            self._answered()

    def close(self) -> None:
        self._client.close()

    def _is_left_alone(self) -> bool:
        with self._lock:
            return self._retry_at_s is not None and self._clock() < self._retry_at_s

    def _answered(self) -> None:
        with self._lock:
            was_away, self._retry_at_s = self._retry_at_s is not None, None
        if was_away:
            log.info("Redis at %s answers again", self._address)

    def _failed(self, error: RedisError) -> None:
        self._on_error(self.name, "error")
        with self._lock:
            is_first = self._retry_at_s is None
            self._retry_at_s = self._clock() + RETRY_AFTER_S
        if is_first:
            log.warning(
                "Redis at %s does not work (%s): results are kept in this process only, and it is "
                "tried again every %.0f s; 'labelvino doctor' says more",
                self._address,
                redis_reason(error),
                RETRY_AFTER_S,
            )

    def _foreign(self, key: str, reason: str) -> None:
        self._on_error(self.name, "error")
        log.warning(
            "Redis at %s: the value %s...%s is not used (%s), and computed anew",
            self._address,
            (NAMESPACE + key)[:30],
            key[-8:],
            reason,
        )


def redis_reason(error: RedisError) -> str:
    """The error on one line, without addresses that hold a password."""
    text = " ".join(str(error).split()).rstrip(".")
    kind = "no connection" if isinstance(error, RedisConnectionError) else "error"
    return text[:200] or kind
