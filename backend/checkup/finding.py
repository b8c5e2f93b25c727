"""What one check found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from backend.runtime.errors import LabelvinoError

Status = Literal["ok", "problem", "hint", "unchecked"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    status  ok         looked at, and it works
            problem    it does not work; `text` has the remedy
            hint       it works, and could be better
            unchecked  it could not be looked at; `text` says why
    """

    check: str
    status: Status
    text: str


def attempt(check: str, look: Callable[[], Finding]) -> Finding:
    """`look()`, with what it raises as a problem; our errors carry their remedy."""
    try:
        return look()
    except (LabelvinoError, OSError) as error:
        return Finding(check, "problem", " ".join(str(error).split()))
