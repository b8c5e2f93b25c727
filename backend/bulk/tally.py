"""What came of tasks, counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Tally:
    """What came of tasks.

    done     predictions written
    empty    of those, how many have no region
    images   looked at for them
    blank    tasks left blank on purpose
    skipped  tasks that needed none any more, or are gone
    left_ids tasks that were not reached before the stop
    failed   reason by task id
    labels   regions by label
    """

    done: int = 0
    empty: int = 0
    images: int = 0
    blank: int = 0
    skipped: int = 0
    left_ids: list[int] = field(default_factory=list)
    failed: dict[int, str] = field(default_factory=dict)
    labels: Counter[str] = field(default_factory=Counter)

    @property
    def left(self) -> int:
        """How many were not reached."""
        return len(self.left_ids)

    @property
    def tasks(self) -> int:
        """All that it is about."""
        return self.done + self.blank + self.skipped + self.left + len(self.failed)

    def add(self, other: Tally) -> None:
        self.done += other.done
        self.empty += other.empty
        self.images += other.images
        self.blank += other.blank
        self.skipped += other.skipped
        self.left_ids += other.left_ids
        self.failed |= other.failed
        self.labels += other.labels

    def to_json(self) -> dict[str, Any]:
        """As another process takes it; what is zero or empty is left out."""
        content = dict(vars(self))
        content["failed"] = {str(task_id): reason for task_id, reason in self.failed.items()}
        return {name: value for name, value in content.items() if value}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Tally:
        """What `to_json` gave."""
        tally = cls(**content)
        tally.failed = {int(task_id): reason for task_id, reason in tally.failed.items()}
        tally.labels = Counter(tally.labels)
        return tally
