"""The thresholds in force for a project, asked with every request."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, NamedTuple

from backend.runtime.errors import LabelvinoError
from backend.tuned.record import (
    NOTHING,
    RecordError,
    Thresholds,
    project_of,
    read_record_of,
    usable,
)  # fmt: skip
from backend.tuned.store import AwayError, TunedStore, short

log = logging.getLogger("labelvino")

_REMEMBERED = 1024
_SAID = 5  # reasons of one record
_Key = tuple[str, str]
"""Project and model digest."""


@dataclass
class _Known:
    """What was there the last time; `thresholds` of it can be used."""

    data: bytes | None
    thresholds: Thresholds = field(default_factory=dict)


class TunedReader:
    """New thresholds count from the next request on; may be called from any thread.

    It never raises. What is wrong is logged once, and served with the other thresholds; a store
    that does not answer, or not for a project, leaves those that were in force.
    """

    def __init__(self, store: TunedStore | None = None) -> None:
        """`store`: None has nothing for any project."""
        self._store = store
        self._lock = Lock()
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._unreadable: OrderedDict[_Key, None] = OrderedDict()
        self._away = False

    def of(self, project: object, model_digest: str, labels: tuple[str, ...]) -> Thresholds:
        """`project`: as Label Studio's requests carry it; anything else has none.

        By model label; empty where nothing was tuned.
        """
        name = project_of(project)
        if name is None or self._store is None:
            return NOTHING
        key = name, model_digest
        with self._lock:
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        try:
            data = self._store.of_project(name, model_digest)
            if known is None or known.data != data:
                known = self._changed(self._store, key, known, data, labels)
            self._answered(key)
        except LabelvinoError as error:
            self._failed(key, error)
        return NOTHING if known is None else known.thresholds

    def in_force(self, model_digest: str) -> Mapping[str, int]:
        """Number of labels with tuned thresholds of a model, by project; of those asked lately."""
        with self._lock:
            known = list(self._known.items())
        return {
            project: len(each.thresholds)
            for (project, model), each in known
            if model == model_digest and each.thresholds
        }

    def close(self) -> None:
        if self._store is not None:
            self._store.close()

    def _changed(
        self,
        store: TunedStore,
        key: _Key,
        before: _Known | None,
        data: bytes | None,
        labels: tuple[str, ...],
    ) -> _Known:
        known = _Known(data)
        if data is not None:
            known.thresholds = _read(store, *key, data, labels)
        with self._lock:
            self._known[key] = known
            _forget_oldest(self._known, key)
        if data is None:
            # Once a project: it reads more of the store than its own record.
            _say_absent(store, *key, was_there=before is not None and before.data is not None)
        return known

    def _answered(self, key: _Key) -> None:
        with self._lock:
            was_away, self._away = self._away, False
            was_unreadable = self._unreadable.pop(key, key) is None
        if was_away:
            log.info("tuned thresholds can be read again")
        if was_unreadable:
            log.info("project %s: its tuned thresholds can be read again", key[0])

    def _failed(self, key: _Key, error: LabelvinoError) -> None:
        if isinstance(error, AwayError):
            with self._lock:
                is_first, self._away = not self._away, True
            if is_first:
                log.warning("%s Projects are served with the thresholds that were known.", error)
            return
        with self._lock:
            is_first = key not in self._unreadable
            self._unreadable[key] = None
            _forget_oldest(self._unreadable, key)
        if is_first:
            log.warning(
                "project %s: %s It is served with the thresholds that were known.", key[0], error
            )


def _forget_oldest(remembered: OrderedDict[_Key, Any], newest: _Key) -> None:
    remembered.move_to_end(newest)
    while len(remembered) > _REMEMBERED:
        remembered.popitem(last=False)


class Stored(NamedTuple):
    """The record that is there, and the thresholds of it that can be used."""

    data: bytes | None
    thresholds: Thresholds


def stored(store: TunedStore, project: str, digest: str, labels: tuple[str, ...]) -> Stored:
    """For who may put another record in its place. What is wrong with it is logged.

    Raises StateError.
    """
    data = store.of_project(project, digest)
    return Stored(data, NOTHING if data is None else _read(store, project, digest, data, labels))


def _read(
    store: TunedStore, project: str, digest: str, data: bytes, labels: tuple[str, ...]
) -> Thresholds:
    try:
        record = read_record_of(data, project, digest)
    except RecordError as error:
        log.warning(
            "project %s: its tuned thresholds in %s are not used, since %s: it is served with the "
            "others; 'labelvino tune' makes new ones",
            project, store.where, error,
        )  # fmt: skip
        return NOTHING
    thresholds, reasons = usable(record, labels)
    for reason in reasons[:_SAID]:
        log.warning("project %s: a tuned threshold is not used: %s", project, reason)
    if len(reasons) > _SAID:
        log.warning(
            "project %s: %d more tuned thresholds are not used", project, len(reasons) - _SAID
        )
    log.info(
        "project %s: thresholds tuned at %s are in force for %d labels",
        project, record.made_at, len(thresholds),
    )  # fmt: skip
    return thresholds


def _say_absent(store: TunedStore, project: str, digest: str, *, was_there: bool) -> None:
    if was_there:
        log.warning(
            "project %s: its tuned thresholds are gone from %s (reset, or lost): it is served with "
            "the others",
            project, store.where,
        )  # fmt: skip
        return
    others = [model for model in store.models(project) if model != short(digest)]
    if others:
        log.warning(
            "project %s: its tuned thresholds are of another model (%s...) and not used: "
            "'labelvino tune' makes them for this one (%s...)",
            project, others[0][:8], digest[:8],
        )  # fmt: skip
