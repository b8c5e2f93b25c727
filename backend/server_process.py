"""The server as a process: its port, its signals, and a stop that lets work end."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn
from fastapi import FastAPI

from backend.fair_pool import FairPool
from backend.model_watch import ModelWatch
from backend.runtime.command_line import DONE, INTERRUPTED
from backend.runtime.errors import SettingsError
from backend.training import TrainingDesk

log = logging.getLogger("labelvino")

# Shares of the time for a stop: tasks under way get the first, sending the answers the second.
_TASKS_SHARE, _ANSWERS_SHARE = 0.85, 0.95


def listen(host: str, port: int) -> socket.socket:
    """Take the port before the model is loaded, so that a taken one is told at once.

    Raises SettingsError.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends at once (TCP_NODELAY) only where the protocol is named; else answers wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        remedy = "--port" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "--host"
        raise SettingsError(
            f"cannot listen on {host}:{port} ({error.strerror or error}): choose another {remedy}."
        ) from error
    return listener


def run_until_stopped(
    app: FastAPI,
    listener: socket.socket,
    pool: FairPool,
    stop_timeout_s: float,
    watch: ModelWatch,
    desk: TrainingDesk,
) -> None:
    """Answer requests until SIGTERM or SIGINT; SIGHUP loads the model again.

    Tasks under way get `stop_timeout_s` to end, and what is done is answered. A second signal ends
    the process at once.
    """
    server = _Server(app, pool, stop_timeout_s)
    had_terminal = os.isatty(0)

    def hang_up(_signal: int, frame: FrameType | None) -> None:
        if not had_terminal or os.isatty(0):
            watch.wake()
        elif server.stopped_by is None:  # the terminal was closed: nobody asks for a reload
            server.handle_exit(signal.SIGTERM, frame)

    # uvicorn ends its loop on SIGTERM and raises the signal again; for us it is a normal end.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGHUP, hang_up)
    try:
        server.run(sockets=[listener])
    finally:
        rest_s = (1 - _ANSWERS_SHARE) * stop_timeout_s / 2
        watch_ended, pool_ended = watch.stop(rest_s), pool.close(rest_s)
        desk_ended = desk.stop(rest_s)
        if not desk_ended:
            log.info("Start Training was left before its end")
        log.info("stopped" if pool_ended else "stopped, and left a task that did not end in time")
        if not (watch_ended and pool_ended and desk_ended):
            # The interpreter would take the device away under a running thread, which can crash.
            logging.shutdown()
            os._exit(INTERRUPTED if server.stopped_by == signal.SIGINT else DONE)


class _Server(uvicorn.Server):
    """Lets tasks under way end when it is told to stop, and leaves the others."""

    def __init__(self, app: FastAPI, pool: FairPool, stop_timeout_s: float) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=_ANSWERS_SHARE * stop_timeout_s,  # type: ignore[arg-type]
        )
        super().__init__(config)
        self._pool = pool
        self._tasks_timeout_s = _TASKS_SHARE * stop_timeout_s
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.stopped_by is not None:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self.stopped_by = sig
        # Not here, since a signal may interrupt a thread that holds the pool's lock.
        threading.Thread(target=self._pool.drain, args=(self._tasks_timeout_s,)).start()
        super().handle_exit(sig, frame)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(DONE)
