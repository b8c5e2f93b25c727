"""Infer requests that threads share: for one image at a time, for many at once, or both."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import openvino as ov

log = logging.getLogger("labelvino")


class Requests(Protocol):
    """Where a thread gets an infer request from."""

    @property
    def size(self) -> int:
        """How many run at once."""

    def request(self) -> AbstractContextManager[ov.InferRequest]:
        """A request for this thread alone; waits for one."""


class RequestPool:
    """As many requests as OpenVINO finds best for a compiled model."""

    def __init__(self, compiled: ov.CompiledModel) -> None:
        self.size = max(1, int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))
        self._idle: queue.LifoQueue[ov.InferRequest] = queue.LifoQueue()
        for _ in range(self.size):
            self._idle.put(compiled.create_infer_request())

    @contextmanager
    def request(self) -> Iterator[ov.InferRequest]:
        request = self._idle.get()
        try:
            yield request
        finally:
            self._idle.put(request)


class AdaptingPool:
    """The shortest time for an image that is alone, the most images a second for many.

    The second way is compiled beside the first, in a thread of its own, when two images meet for
    the first time; until it is ready, and where it cannot be compiled, the first serves all.
    """

    def __init__(self, alone: RequestPool, compile_many: Callable[[], ov.CompiledModel]) -> None:
        self._alone = alone
        self._compile_many = compile_many
        self._many: RequestPool | None = None
        self._lock = threading.Lock()
        self._under_way = 0
        self._compiling: threading.Thread | None = None

    @property
    def size(self) -> int:
        many = self._many
        return self._alone.size if many is None else max(many.size, self._alone.size)

    @contextmanager
    def request(self) -> Iterator[ov.InferRequest]:
        with self._lock:
            meets_others = self._under_way > 0
            self._under_way += 1
            if meets_others and self._compiling is None:
                self._compiling = threading.Thread(
                    target=self._compile, name="labelvino-compile", daemon=True
                )
                self._compiling.start()
        try:
            many = self._many
            with (many if meets_others and many is not None else self._alone).request() as request:
                yield request
        finally:
            with self._lock:
                self._under_way -= 1

    def wait_until_compiled(self) -> None:
        """Wait for the second way, if it is being compiled."""
        if self._compiling is not None:
            self._compiling.join()

    def _compile(self) -> None:
        try:
            self._many = RequestPool(self._compile_many())
        except RuntimeError as error:
            log.warning("many images at once take longer than they could: %s", error)
        else:
            log.debug("compiled for many images at once, %d requests", self._many.size)
