"""What Ultralytics writes into an export's metadata: the task, the class names, the image size.

Source: https://github.com/ultralytics/ultralytics, engine/exporter.py. Values are Python literals.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.runtime.contract import Label, ResizeRule
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
        resize=_resize(_literal(metadata.get("imgsz", "None"), "imgsz", path)),
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
    if not isinstance(names, dict) or sorted(names) != list(range(len(names))) or not names:
        raise ConversionError(
            f"{path} has metadata 'names' that do not number its classes from 0: give --labels."
        )
    found = [str(names[index]) for index in range(len(names))]
    if found == [label.name for label in COCO_LABELS]:
        return COCO_LABELS
    return tuple(Label(number, name) for number, name in enumerate(found, start=1))


def _resize(size: Any) -> ResizeRule | None:
    """`size`: [height, width], or None."""
    if not isinstance(size, list) or len(size) != 2:
        return None
    return ResizeRule.parse(f"letterbox:{size[1]}x{size[0]}")
