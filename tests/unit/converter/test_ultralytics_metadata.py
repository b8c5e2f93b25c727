"""The metadata of Ultralytics' exports is read as literals, never run."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.runtime.contract import Label
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.sources.ultralytics import ultralytics_facts

PATH = Path("yolo.onnx")
COCO = str({index: label.name for index, label in enumerate(COCO_LABELS)})


@pytest.mark.parametrize("metadata", [{}, {"names": "{}"}, {"task": "segment"}, {"author": "me"}])
def test_other_metadata_says_nothing(metadata: dict[str, str]) -> None:
    assert ultralytics_facts(metadata, PATH) is None


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("{0: 'hand', 1: 'left face'}", (Label(1, "hand"), Label(2, "left face"))),
        ("['hand', 'left face']", (Label(1, "hand"), Label(2, "left face"))),
        ("{1: 'b', 0: 'a'}", (Label(1, "a"), Label(2, "b"))),
        (COCO, COCO_LABELS),
    ],
)
def test_names(names: str, labels: tuple[Label, ...]) -> None:
    facts = ultralytics_facts({"task": "segment", "names": names}, PATH)
    assert facts is not None
    assert facts.labels == labels
    assert facts.resize is None


def test_the_size_is_height_first() -> None:
    facts = ultralytics_facts({"task": "detect", "names": "['a']", "imgsz": "[480, 640]"}, PATH)
    assert facts is not None
    assert str(facts.resize) == "letterbox:640x480"


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"task": "pose", "names": "['a']"}, "task 'pose'"),
        ({"task": "segment", "names": "open('/etc/passwd').read()"}, "'names' that cannot be read"),
        ({"task": "segment", "names": "[" * 5000}, "'names' that cannot be read"),
        ({"task": "segment", "names": "{0: 'a'"}, "'names' that cannot be read"),
        ({"task": "segment", "names": "{0: 'a', 2: 'b'}"}, "number its classes from 0"),
        ({"task": "segment", "names": "{'x': 'a', 1: 'b'}"}, "number its classes from 0"),
        ({"task": "segment", "names": "{}"}, "number its classes from 0"),
        ({"task": "segment", "names": "5"}, "number its classes from 0"),
        ({"task": "segment", "names": "['a']", "imgsz": "640x640"}, "'imgsz' that cannot be read"),
        ({"task": "segment", "names": "['a']", "imgsz": "[0, 640]"}, "'imgsz'"),
        ({"task": "segment", "names": "['a']", "imgsz": "['a', 'b']"}, "'imgsz'"),
    ],
)
def test_damaged_metadata(metadata: dict[str, str], reason: str) -> None:
    with pytest.raises(ConversionError, match=reason):
        ultralytics_facts(metadata, PATH)
