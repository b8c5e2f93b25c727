"""What became of the predictions of one task, in few bytes, since a report needs all of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from backend.corrections.history import AnnotatedTask, Source
from backend.corrections.instances import read_instances
from backend.corrections.matching import Fate, Matching, Pair, match_instances

RIGHT_IOU = 0.5
"""From which on a prediction whose label stayed was right."""


@dataclass(frozen=True)
class Change:
    """One pair of a matching without its pixels.

    score        of the prediction; None where it has none, or where there was no prediction
    iou          of predicted and final; None where one is missing
    is_reshaped  pixels changed, whatever the label
    is_prompted  the final one came as the answer to a prompt
    """

    fate: Fate
    predicted_label: str | None = None
    final_label: str | None = None
    score: float | None = None
    iou: float | None = None
    is_reshaped: bool = False
    is_prompted: bool = False

    @property
    def is_predicted(self) -> bool:
        return self.predicted_label is not None

    @property
    def is_final(self) -> bool:
        return self.final_label is not None

    @property
    def is_right(self) -> bool:
        """The label stayed, and the shape to an IoU of RIGHT_IOU."""
        return self.fate in ("kept", "reshaped") and (self.iou or 0.0) >= RIGHT_IOU

    @property
    def effort(self) -> float:
        """0 where nothing was to do, 1 for what was drawn, deleted or relabelled; between them by
        how far the shape was off."""
        if self.fate == "kept":
            return 0.0
        return 1.0 - (self.iou or 0.0) if self.fate == "reshaped" else 1.0


@dataclass(frozen=True)
class TaskChanges:
    """Of one annotation that counts.

    source         None where there was nothing to compare with: `changes` is empty then
    model_version  of the prediction; "" without one
    instances      of the final annotation
    unread         regions that could not be read, of both sides
    """

    task_id: int
    annotation_id: int
    created_at: datetime
    source: Source | None
    model_version: str
    began_with_prediction: bool
    began_blank: bool
    lead_time_s: float | None
    instances: int
    changes: tuple[Change, ...] = ()
    unread: tuple[str, ...] = ()

    @property
    def effort(self) -> float:
        return sum(change.effort for change in self.changes)


def compare(task: AnnotatedTask) -> tuple[TaskChanges, Matching]:
    """Compare an annotation with its prediction; nothing to compare gives an empty matching."""
    final = read_instances(task.result)
    predicted = read_instances(task.prediction.result if task.prediction is not None else ())
    matching = Matching(())
    if task.prediction is not None:
        matching = match_instances(predicted.instances, final.instances, same_ids=task.has_parent)
    found = TaskChanges(
        task_id=task.task_id,
        annotation_id=task.annotation_id,
        created_at=task.created_at,
        source=task.source,
        model_version=task.prediction.model_version if task.prediction is not None else "",
        began_with_prediction=task.began_with_prediction,
        began_blank=task.began_blank,
        lead_time_s=task.lead_time_s,
        instances=len(final.instances),
        changes=tuple(change_of(pair) for pair in matching.pairs),
        unread=(*final.unread, *predicted.unread),
    )
    return found, matching


def change_of(pair: Pair) -> Change:
    """A pair without its pixels."""
    predicted, final = pair.predicted, pair.final
    return Change(
        pair.fate,
        predicted.label if predicted is not None else None,
        final.label if final is not None else None,
        predicted.score if predicted is not None else None,
        pair.iou,
        pair.is_reshaped,
        final is not None and final.is_prompted,
    )
