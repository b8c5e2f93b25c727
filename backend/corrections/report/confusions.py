"""Labels that people replace with others again and again, and what the label config could say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.sax.saxutils import quoteattr

from backend.corrections.report.changes import Change
from backend.labelstudio.label_config import Control, LabelConfig, LabelTag

DEFAULT_SHARE = 0.1
LEAST_NUMBER = 3
"""Fewer than these are chance."""


def confusions(
    changes: Sequence[Change],
    config: LabelConfig,
    least_share: float = DEFAULT_SHARE,
    least_number: int = LEAST_NUMBER,
) -> list[dict[str, Any]]:
    """Relabelled pairs, the largest share first.

    share       of the predictions of the label that people left in, under whatever label
    suggestion  a sentence; what it says is not done
    """
    left_in = Counter(c.predicted_label for c in changes if c.is_predicted and c.is_final)
    same = Counter(c.predicted_label for c in changes if c.fate in ("kept", "reshaped"))
    pairs = Counter((c.predicted_label, c.final_label) for c in changes if c.fate == "relabelled")
    rows = []
    for (predicted, final), number in pairs.items():
        share = number / left_in[predicted]
        if predicted is None or final is None or number < least_number or share < least_share:
            continue
        row = {"predicted": predicted, "final": final, "number": number, "share": share}
        row["of"] = left_in[predicted]
        rows.append(row | _suggestion(config, predicted, final, number, same[predicted]))
    return sorted(rows, key=lambda row: (-row["share"], row["predicted"], row["final"]))


def _suggestion(
    config: LabelConfig, predicted: str, final: str, number: int, stayed: int
) -> dict[str, Any]:
    """`predicted_values` where more would be right with it than are now."""
    found = _tags(config, predicted, final)
    if found is None:
        return {
            "suggestion": f"'{final}' and '{predicted}' are not labels of one control of the "
            "labelling config: nothing can be mapped there."
        }
    control, source, target = found
    if number <= stayed:
        return {
            "suggestion": f"'{predicted}' is right more often than it is '{final}' ({stayed} to "
            f"{number}), so that the labelling config cannot help: the model needs examples of "
            "both."
        }
    model_labels = source.predicted_values or (source.value,)
    values = dict.fromkeys((*target.predicted_values, *model_labels))
    unwritable = next((name for name in values if "," in name), None)
    if unwritable is not None:
        return {
            "suggestion": f"'{unwritable}' has a comma, which predicted_values takes for the end "
            f"of a name, so that it cannot be mapped to '{target.value}': rename the label in the "
            "model's list."
        }
    tag = f"<Label value={quoteattr(target.value)} predicted_values={quoteattr(','.join(values))}/>"
    words = f"{tag} in '{control.name}' would make {number} of these right that were relabelled"
    if stayed:
        words += f", and {stayed} wrong that stayed"
    if source.predicted_values:
        words += f"; take predicted_values away from '{source.value}' then"
    if len(source.predicted_values) > 1:
        words += (
            ", or move only the name that is meant: Label Studio does not say which of "
            f"{', '.join(source.predicted_values)} the model saw"
        )
    return {
        "suggestion": words + ".",
        "control": control.name,
        "label": target.value,
        "predicted_values": ",".join(values),
    }


def _tags(
    config: LabelConfig, predicted: str, final: str
) -> tuple[Control, LabelTag, LabelTag] | None:
    """The first control that has both labels, and their tags."""
    for control in config.controls:
        source = next((tag for tag in control.labels if tag.written == predicted), None)
        target = next((tag for tag in control.labels if tag.written == final), None)
        if source is not None and target is not None:
            return control, source, target
    return None
