"""Where tuned thresholds are kept."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Protocol

from backend.runtime.errors import LabelvinoError


class StateError(LabelvinoError):
    """The state cannot be read or written; the sentence has the remedy."""


class AwayError(StateError):
    """The store does not answer, whichever project is asked for."""


class Anything(Enum):
    """What `put` takes the place of, where that does not matter."""

    ANYTHING = "anything"


class TunedStore(Protocol):
    """Records of projects; from any thread. Every method raises StateError.

    One that holds for all projects is an AwayError.
    """

    @property
    def where(self) -> str:
        """In words, without secrets."""

    def of_project(self, project: str, model_digest: str) -> bytes | None:
        """The record for this model. Cheap: asked with every request."""

    def models(self, project: str) -> Mapping[str, bytes]:
        """All records of a project, by the beginning of the model's digest."""

    def projects(self) -> Mapping[tuple[str, str], bytes]:
        """All records there are, by project and the beginning of the model's digest."""

    def put(
        self,
        project: str,
        model_digest: str,
        data: bytes,
        instead_of: bytes | Anything | None = Anything.ANYTHING,
    ) -> bool:
        """Store it, whole or not at all; the one before is gone.

        `instead_of`: the record that must still be there, None for none; returns whether it was,
        and changes nothing where it was not.
        """

    def remove(self, project: str, model_digest: str) -> bool:
        """Returns whether there was one."""

    def close(self) -> None: ...


def short(model_digest: str) -> str:
    """As much of a model's digest as tells models apart."""
    return model_digest[:16]
