"""What Ultralytics writes into an export's metadata: the task, the class names, the image size.

Source: https://github.com/ultralytics/ultralytics, engine/exporter.py. Values are Python literals.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.runtime.contract import LETTERBOX_GREY, Label, ResizeRule
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.sources.source import SourceFacts

_TASKS = ("segment", "detect")


def ultralytics_facts(metadata: Mapping[str, str], path: Path) -> SourceFacts | None:
    """None where the metadata is not Ultralytics'.

    Raises ConversionError for another task than `segment` or `detect`, and for names or sizes
    that are not what the exporter writes.
    """
    if "names" not in metadata or "task" not in metadata:
        return None
    if metadata["task"] not in _TASKS:
        raise ConversionError(
            f"{path} was exported for the task '{metadata['task']}', which gives no instances: "
            f"export a model for {' or '.join(_TASKS)}."
        )
    return SourceFacts(
        labels=_labels(_literal(metadata["names"], "names", path), path),
        resize=_resize(_literal(metadata.get("imgsz", "None"), "imgsz", path), path),
    )


def _literal(text: str, key: str, path: Path) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise ConversionError(
            f"{path} has metadata '{key}' that cannot be read: export the model again."
        ) from error


def _labels(names: Any, path: Path) -> tuple[Label, ...]:
    if isinstance(names, list | tuple):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names or set(names) != set(range(len(names))):
        raise ConversionError(
            f"{path} has metadata 'names' that do not number its classes from 0: give --labels."
        )
    found = [str(names[index]) for index in range(len(names))]
    if found == [label.name for label in COCO_LABELS]:
        return COCO_LABELS
    return tuple(Label(number, name) for number, name in enumerate(found, start=1))


def _resize(size: Any, path: Path) -> ResizeRule | None:
    """`size`: [height, width], or None."""
    if size is None:
        return None
    if isinstance(size, list | tuple) and len(size) == 2:
        height, width = size
        if all(isinstance(side, int) and side > 0 for side in size):
            return ResizeRule("letterbox", width=width, height=height, pad=LETTERBOX_GREY)
    raise ConversionError(
        f"{path} has metadata 'imgsz' that is no height and width: give --resize letterbox:WxH."
    )
