"""Runs a command that ends when its parent does, even where the parent is killed.

The parent holds the other end of stdin: when that closes, the command is told to end (SIGTERM),
and killed where it does not within the given seconds.

python -m backend.demo.tether SECONDS COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading


def main(grace_s: float, command: list[str]) -> int:
    """Run the command; gives its exit code."""
    # A group of its own, so that Ctrl-C on the terminal reaches the parent only, and all that the
    # command has started can be ended.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)  # noqa: S603

    def end_with_parent() -> None:
        while os.read(0, 1):  # not sys.stdin, whose lock would be held when this process ends
            pass
        _signal(process.pid, signal.SIGTERM)
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            _signal(process.pid, signal.SIGKILL)

    threading.Thread(target=end_with_parent, daemon=True).start()
    code = process.wait()
    _signal(process.pid, signal.SIGKILL)  # what it left behind
    return code if code >= 0 else 128 - code


def _signal(group: int, sign: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, sign)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
