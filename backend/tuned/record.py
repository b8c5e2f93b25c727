"""What is stored of a tuning: thresholds of one project for one model, and where they come from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import msgspec

FORMAT = 1
Thresholds = Mapping[str, float]
"""By the model's label."""
NOTHING: Thresholds = {}

_FOREIGN = "it is of another release of labelvino, or no file of its"
_PROJECT = re.compile(r"\d{1,18}(\.\d{1,18})?")
_DIGEST = re.compile(r"[0-9a-f]{16,64}")


class RecordError(Exception):
    """Bytes that are no record of ours; the text says why."""


@dataclass(frozen=True)
class TunedRecord:
    """One tuning.

    project       Label Studio's name for it: its number, a dot, the second it was created in
    model_digest  of the weights and of the facts that change results
    thresholds    by model label
    tasks         corrected tasks that it comes from
    objective     effort or f1
    made_at       ISO 8601, UTC
    title, label_studio  of the project, for whoever looks at it
    """

    project: str
    model_digest: str
    thresholds: Thresholds
    tasks: int
    objective: str
    made_at: str
    title: str = ""
    label_studio: str = ""

    def to_bytes(self) -> bytes:
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps(content, indent=1, ensure_ascii=False, sort_keys=True).encode()


class _Head(msgspec.Struct):
    format: int


def read_record(data: bytes) -> TunedRecord:
    """What `to_bytes` gave; anything else, whatever it is, raises RecordError."""
    # A message of msgspec names places and types, never content.
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.ValidationError:
        raise RecordError(_FOREIGN) from None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        raise RecordError("it is damaged") from None
    if head.format != FORMAT:
        raise RecordError(_FOREIGN)
    try:
        return msgspec.json.decode(data, type=TunedRecord)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RecordError(f"it is damaged: {error}") from None


def read_record_of(data: bytes, project: str, model_digest: str) -> TunedRecord:
    """The same, of this project and model. Raises RecordError."""
    record = read_record(data)
    if (record.project, record.model_digest) != (project, model_digest):
        raise RecordError("it is of another project or model")
    return record


def usable(record: TunedRecord, labels: tuple[str, ...]) -> tuple[dict[str, float], list[str]]:
    """Thresholds that can be used with a model of these labels, and why others cannot."""
    good: dict[str, float] = {}
    reasons = []
    for name, value in record.thresholds.items():
        if name not in labels:
            reasons.append(f"the model has no label '{name}'")
        elif not 0.0 <= value <= 1.0:
            reasons.append(f"{value:g} of '{name}' is not within 0..1")
        else:
            good[name] = value
    return good, reasons


def project_of(value: object) -> str | None:
    """A project as Label Studio names it in a request; None for what is none."""
    text = value if isinstance(value, str) else ""
    return text if _PROJECT.fullmatch(text) else None


def checked_place(project: str, model_digest: str) -> tuple[str, str]:
    """Both, safe to be parts of a file name. Raises ValueError."""
    if not (_PROJECT.fullmatch(project) and _DIGEST.fullmatch(model_digest)):
        raise ValueError(f"no project and model: {project!r}, {model_digest!r}")
    return project, model_digest
