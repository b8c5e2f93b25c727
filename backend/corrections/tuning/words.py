"""What came of a tuning, in words and as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from backend.corrections.tuning.project_tuning import ProjectTuning
from backend.corrections.tuning.resampling import Interval
from backend.corrections.tuning.tuning import LabelTuning

_SHOWN = 8
_VERDICTS = {
    "changed": "changed",
    "kept": "no gain shown",
    "too few": "too few examples",
}


def head_lines(found: ProjectTuning) -> Iterator[str]:
    tuning, options = found.tuning, found.options
    yield f"Project {found.project.shown}: {tuning.tasks} corrected tasks."
    if found.older:
        yield older_line(found)
    if found.left_out:
        task_id, reason = next(iter(found.left_out.items()))
        yield f"{len(found.left_out)} more say nothing; task {task_id}: {reason}"
    if found.in_force.fixed:
        names = ", ".join(found.in_force.fixed[:_SHOWN])
        hidden = len(found.in_force.fixed) - _SHOWN
        more = f" and {hidden} more" if hidden > 0 else ""
        yield (
            f"Left as they are, since the label config (model_score_threshold) or "
            f"--score-threshold sets them: {names}{more}."
        )
    if options.objective == "effort":
        costs = options.costs
        yield (
            f"Effort: {costs.delete_s:g} s to delete a false positive, {costs.draw_s:g} s to draw "
            f"what was missed, {costs.reshape_s:g} s to correct an outline that overlaps its "
            f"object less than {costs.reshape_below:g}."
        )


def older_line(found: ProjectTuning) -> str:
    """Empty where all corrected tasks were looked at."""
    if not found.older:
        return ""
    how = "LABELVINO_TUNE_TASKS or --tasks"
    return f"{found.older} older corrected tasks were not looked at ({how})."


def verdict_line(found: ProjectTuning) -> str:
    """The whole of it in one sentence."""
    tuning = found.tuning
    if not found.in_force.tunable:
        return (
            "Nothing can be tuned: no label of the config is predicted with a threshold that "
            "tuning may set."
        )
    if tuning.effect is None:
        return (
            f"Too few corrected tasks: {tuning.tasks}, and {found.options.least_tasks} are needed; "
            "nothing is proposed."
        )
    if not tuning.changes:
        return f"No gain is shown by {tuning.tasks} corrected tasks: the thresholds in force stay."
    effect = _effect(found, tuning.effect)
    if not tuning.is_worth_it:
        return f"Tasks that were not looked at would gain nothing ({effect}): nothing is proposed."
    return f"New thresholds for {len(tuning.changes)} labels; tasks not looked at gain {effect}."


def changes_line(found: ProjectTuning) -> str:
    """Old and new thresholds, of labels with examples first, of some."""
    moved = [label for label in seen_labels(found) if label.label in found.tuning.changes]
    shown = [
        f"{found.labels[label.label]} {label.old_threshold:.2f} -> {label.threshold:.2f}"
        for label in moved[:_SHOWN]
    ]
    more = len(found.tuning.changes) - len(shown)
    return ", ".join(shown) + (f", and {more} more." if more else ".")


def pooled_line(found: ProjectTuning) -> str | None:
    """Of all labels together."""
    pooled, gain = found.tuning.pooled, found.tuning.pooled_gain
    if pooled is None or gain is None:
        return None
    taken = "is taken" if found.tuning.pooled_taken else "is not taken, since its gain is not sure"
    return (
        f"All labels together: {pooled.middle:.2f} ({pooled.low:.2f} to {pooled.high:.2f}) is "
        f"best, and {taken}."
    )


def label_table(found: ProjectTuning) -> Table:
    """Labels that were looked at, most examples first."""
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    unit = "gain s/task" if found.options.objective == "effort" else "gain F1"
    for column in ("old", "new", "best of its own", "objects", "false", "now", "missed", "now",
                   unit):  # fmt: skip
        table.add_column(column, justify="right")
    table.add_column("")
    for label in seen_labels(found):
        table.add_row(*_row(found, label))
    return table


def seen_labels(found: ProjectTuning) -> list[LabelTuning]:
    """Without those that occur nowhere."""
    seen = [label for label in found.tuning.labels if label.examples]
    return sorted(seen, key=lambda label: -label.examples)


def to_json(found: ProjectTuning, *, applied: bool) -> dict[str, Any]:
    tuning = found.tuning
    return {
        "project": {"id": found.project.id, "title": found.project.title, "uid": found.project.uid},
        "model_digest": found.model_digest,
        "model_version": found.plan.model_version,
        "objective": found.options.objective,
        "tasks": tuning.tasks,
        "not_looked_at": found.older,
        "left_out": {str(task_id): reason for task_id, reason in found.left_out.items()},
        "fixed": list(found.in_force.fixed),
        "loss_before": tuning.loss_before,
        "effect": _interval(tuning.effect),
        "pooled": {
            "best": _interval(tuning.pooled),
            "gain": _interval(tuning.pooled_gain),
            "taken": tuning.pooled_taken,
        },
        "labels": [_label(found, label) for label in seen_labels(found)],
        "thresholds": found.thresholds if tuning.is_worth_it else dict(found.before.thresholds),
        "proposed": tuning.is_worth_it,
        "verdict": verdict_line(found),
        "applied": applied,
    }


def _row(found: ProjectTuning, label: LabelTuning) -> tuple[str | Text, ...]:
    best, gain = label.best, label.gain
    moved = label.threshold != label.old_threshold
    pooled = moved and label.verdict != "changed"
    verdict = _VERDICTS[label.verdict] + (": as all labels" if pooled else "")
    return (
        Text(found.labels[label.label]),
        f"{label.old_threshold:.2f}",
        f"{label.threshold:.2f}" if moved else "=",
        f"{best.middle:.2f} ({best.low:.2f}-{best.high:.2f})" if best else "",
        str(label.objects),
        str(label.before.false),
        str(label.now.false),
        str(label.objects - label.before.hit),
        str(label.objects - label.now.hit),
        f"{gain.middle:+.3g} ({gain.low:.3g} to {gain.high:.3g})" if gain else "",
        verdict,
    )


def _label(found: ProjectTuning, label: LabelTuning) -> dict[str, Any]:
    return {
        "label": found.labels[label.label],
        "old": label.old_threshold,
        "new": label.threshold,
        "verdict": label.verdict,
        "examples": label.examples,
        "objects": label.objects,
        "before": label.before._asdict(),
        "now": label.now._asdict(),
        "best": _interval(label.best),
        "gain": _interval(label.gain),
    }


def _effect(found: ProjectTuning, effect: Interval) -> str:
    if found.options.objective == "effort":
        before = found.tuning.loss_before
        share = f", {effect.middle / before:.0%} of {before:.1f} s" if before else ""
        return f"{effect.middle:.1f} s a task ({effect.low:.1f} to {effect.high:.1f}){share}"
    before = 1 - found.tuning.loss_before
    return f"{effect.middle:.3f} of F1 ({effect.low:.3f} to {effect.high:.3f}), from {before:.3f}"


def _interval(found: Interval | None) -> dict[str, float] | None:
    if found is None:
        return None
    return {"middle": found.middle, "low": found.low, "high": found.high}
