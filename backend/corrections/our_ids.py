"""Region ids of our predictions: `<instance>-<part>` (docs/protocol.md), and what they join.

Other tools write such ids, too, so an id alone is no evidence. A group of regions is one instance
where it also looks as `build_regions` writes it: one score, of four decimals, for all of them; each
further control in a number of its own; and several parts only of polygons.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

_SCORE_DECIMALS = 4  # of a score as we write it
# [prompt's prefix -][image :]instance[. further control]-part
_FORM = re.compile(r"((?:([0-9a-f]{8})-)?(?:\d+:)?\d+)((?:\.\d+)?)-(\d+)")


@dataclass(frozen=True)
class OurId:
    """What an id of that form says. `prefix` is there for answers to a prompt, else ""."""

    instance: str
    prefix: str
    target: str
    part: int


class Part(Protocol):
    """What the evidence is looked for in."""

    @property
    def region_id(self) -> str: ...
    @property
    def score(self) -> float | None: ...
    @property
    def kind(self) -> str: ...
    @property
    def control(self) -> str: ...


def our_id(region_id: str) -> OurId | None:
    """None for ids of another form."""
    found = _FORM.fullmatch(region_id)
    return found and OurId(found[1], found[2] or "", found[3], int(found[4]))


def is_one_instance(parts: Sequence[Part]) -> bool:
    """Whether regions whose ids, as `our_id` reads them, name one instance are that of ours."""
    named = [(part, found) for part in parts if (found := our_id(part.region_id)) is not None]
    # Nobody else writes a prompt's prefix.
    if all(found.prefix for _, found in named):
        return True
    scores = {part.score for part in parts if part.score is not None}
    if len(scores) != 1 or any(round(score, _SCORE_DECIMALS) != score for score in scores):
        return False
    if any(found.part and part.kind != "polygon" for part, found in named):
        return False
    pairs = {(found.target, part.control) for part, found in named}
    return len({target for target, _ in pairs}) == len({name for _, name in pairs}) == len(pairs)
