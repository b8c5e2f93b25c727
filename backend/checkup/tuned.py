"""Tuned thresholds: where they are kept, and whether they can be used."""

from __future__ import annotations

import os
from pathlib import Path

from backend.checkup.finding import Finding, attempt
from backend.runtime.engine import load_contract, model_digest
from backend.settings import Settings, model_path
from backend.tuned.access import open_tuned_store
from backend.tuned.files import TunedFiles
from backend.tuned.record import RecordError, read_record, usable
from backend.tuned.store import TunedStore, short

_CHECK = "thresholds"


def tuned_finding(settings: Settings) -> Finding:
    """One line; nothing is written."""
    return attempt(_CHECK, lambda: _look(settings))


def _look(settings: Settings) -> Finding:
    store = open_tuned_store(settings)
    try:
        return _look_into(settings, store)
    finally:
        store.close()


def _look_into(settings: Settings, store: TunedStore) -> Finding:
    records = store.projects()
    if not records:
        blocked = _blocked(store.folder) if isinstance(store, TunedFiles) else None
        if blocked is not None:
            text = f"none are tuned, and none could be stored: {blocked} cannot be written to; "
            return Finding(_CHECK, "hint", f"{text}set LABELVINO_STATE_DIR to another folder.")
        return Finding(_CHECK, "ok", f"none are tuned; they would be kept in {store.where}.")
    digest, labels = _model(settings)
    good, others = 0, 0
    for (project, model), data in records.items():
        try:
            record = read_record(data)
        except RecordError as error:
            text = f"those of project {project} in {store.where} are not used, since {error}: "
            return Finding(_CHECK, "problem", f"{text}run 'labelvino tune' for it again.")
        if digest is None or model != short(digest):
            others += 1
            continue
        reasons = usable(record, labels)[1]
        if reasons or record.project != project or record.model_digest != digest:
            reason = reasons[0] if reasons else "they are of another project or model"
            text = f"of those of project {project} in {store.where} not all are used: {reason}; "
            return Finding(_CHECK, "problem", f"{text}run 'labelvino tune' for it again.")
        good += 1
    text = f"{store.where}: {good} projects are tuned for this model"
    if others and not good and digest is not None:
        text += f", {others} for other models: 'labelvino tune' makes them for this one."
        return Finding(_CHECK, "hint", text)
    return Finding(_CHECK, "ok", f"{text}, {others} for other models.")


def _model(settings: Settings) -> tuple[str | None, tuple[str, ...]]:
    """Digest and labels of the model of the settings; None where none is given."""
    if settings.model is None and settings.model_dir is None:
        return None, ()
    path = model_path(settings)
    contract = load_contract(path)
    return model_digest(path, contract), contract.label_names


def _blocked(folder: Path) -> Path | None:
    """The folder that would have to be written to, where that cannot be."""
    there = next(path for path in (folder, *folder.parents) if path.exists())
    return None if there.is_dir() and os.access(there, os.W_OK | os.X_OK) else there
