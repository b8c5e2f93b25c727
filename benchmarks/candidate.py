"""A candidate in a process of its own, which does a round whenever it is told to.

The parent starts `python FILE ...` and writes one line a round, with the number of things to do;
the candidate answers with a line of JSON: seconds, seconds of processor time, and memory.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Round:
    """What one round took; `peak_mb`: most memory the process ever had, `note`: its own words."""

    seconds: float
    processor_s: float
    peak_mb: float
    note: str = ""


def answer_rounds(do: Callable[[int], str], others: tuple[int, ...] = ()) -> None:
    """In the candidate: do rounds until the parent closes the pipe.

    `do` gives a note; `others`: ids of further processes whose processor time counts.
    """
    say = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not be taken for an answer
    print("ready", file=say)
    for line in sys.stdin:
        began_s, began = time.perf_counter(), _processor_s(others)
        note = do(int(line))
        seconds, processor_s = time.perf_counter() - began_s, _processor_s(others) - began
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps([seconds, processor_s, peak_mb, note]), file=say)


def _processor_s(others: tuple[int, ...]) -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    ticks = 0
    for process_id in others:
        fields = Path(f"/proc/{process_id}/stat").read_text(encoding="utf-8").rpartition(")")[2]
        ticks += sum(map(int, fields.split()[11:13]))
    return usage.ru_utime + usage.ru_stime + ticks / os.sysconf("SC_CLK_TCK")


class Candidate:
    """The parent's end."""

    def __init__(self, name: str, command: list[str | Path]) -> None:
        self.name = name
        self._process = subprocess.Popen(  # noqa: S603
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)},
        )
        self._listen()

    def round(self, count: int) -> Round:
        """Do `count` things. Raises RuntimeError where the candidate has died."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        answer: list[Any] = json.loads(self._listen())
        return Round(*answer)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe was asked for
        self._process.stdin.close()
        self._process.wait(60)

    def _listen(self) -> str:
        assert self._process.stdout is not None  # noqa: S101 - a pipe was asked for
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended with {self._process.wait()}")
        return line
