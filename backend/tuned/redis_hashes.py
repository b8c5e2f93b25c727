"""Tuned thresholds in Redis, shared by all backends that use it: a hash for each project."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from backend.redis_store import RETRY_AFTER_S, redis_reason
from backend.tuned.record import checked_place
from backend.tuned.store import Anything, AwayError, StateError, short

NAMESPACE = "labelvino:tuned:"


class TunedHashes:
    """The field of a hash is the beginning of the model's digest; no time to live.

    Redis that failed is left alone for RETRY_AFTER_S by those that only read.
    """

    def __init__(
        self, client: Redis, address: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`address`: as messages may show it."""
        self._client = client
        self._address = address
        self._clock = clock
        self._retry_at_s = 0.0
        self._lock = Lock()

    @property
    def where(self) -> str:
        return f"Redis at {self._address}"

    def of_project(self, project: str, model_digest: str) -> bytes | None:
        project, model_digest = checked_place(project, model_digest)
        with self._lock:
            if self._clock() < self._retry_at_s:
                raise AwayError(f"{self.where} does not answer.")
        try:
            found: Any = self._client.hget(NAMESPACE + project, short(model_digest))
        except ResponseError as error:  # it answers, but not for this project
            raise self._failed(error) from error
        except RedisError as error:
            with self._lock:
                self._retry_at_s = self._clock() + RETRY_AFTER_S
            raise self._failed(error) from error
        return found if isinstance(found, bytes) else None

    def models(self, project: str) -> Mapping[str, bytes]:
        try:
            found: Any = self._client.hgetall(NAMESPACE + project)
        except RedisError as error:
            raise self._failed(error) from error
        return {name.decode(errors="replace"): data for name, data in found.items()}

    def projects(self) -> Mapping[tuple[str, str], bytes]:
        try:
            keys = sorted(self._client.scan_iter(f"{NAMESPACE}*"))
        except RedisError as error:
            raise self._failed(error) from error
        found = {}
        for key in keys:
            project = key.decode(errors="replace").removeprefix(NAMESPACE)
            for model, data in self.models(project).items():
                found[project, model] = data
        return found

    def put(
        self,
        project: str,
        model_digest: str,
        data: bytes,
        instead_of: bytes | Anything | None = Anything.ANYTHING,
    ) -> bool:
        project, model_digest = checked_place(project, model_digest)
        key, field = NAMESPACE + project, short(model_digest)

        def put_if_same(pipe: Any) -> Any:
            is_same = instead_of is Anything.ANYTHING or pipe.hget(key, field) == instead_of
            pipe.multi()
            if is_same:
                pipe.hset(key, field, data)
            return is_same

        try:  # again, where another one wrote meanwhile
            return bool(self._client.transaction(put_if_same, key, value_from_callable=True))
        except RedisError as error:
            raise self._failed(error) from error

    def remove(self, project: str, model_digest: str) -> bool:
        project, model_digest = checked_place(project, model_digest)
        try:
            return bool(self._client.hdel(NAMESPACE + project, short(model_digest)))
        except RedisError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        self._client.close()

    def _failed(self, error: RedisError) -> StateError:
        # An answer that is an error is one of this key.
        kind = StateError if isinstance(error, ResponseError) else AwayError
        return kind(
            f"{self.where} does not give or take tuned thresholds ({redis_reason(error)}): "
            "'labelvino doctor' says more."
        )
