"""Every form of a label list, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend.runtime.contract import Label
from backend.runtime.errors import ConversionError
from converter.coco import COCO_LABELS
from converter.labels import labels_from_model_info, read_labels

HAND_FACE = (Label(1, "hand"), Label(2, "left face"))
GAPS = (Label(3, "hand"), Label(90, "left face"))
PBTXT = """
# a comment with { and }
item {
  name: "/m/01"
  id: 3
  display_name: "hand"
}
item: { id: 90 name: 'left face' keypoints { id: 1 label: "nose" } }
"""


@pytest.mark.parametrize("name", ["coco80", "coco91"])
def test_coco_has_80_names_with_ids_up_to_90(name: str) -> None:
    labels = read_labels(name)
    assert len(labels) == 80
    assert labels[0] == Label(1, "person")
    assert labels[79] == Label(90, "toothbrush")
    assert [i for i in range(1, 91) if i not in {label.id for label in labels}] == [
        12, 26, 29, 30, 45, 66, 68, 69, 71, 83,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "text", "labels"),
    [
        ("a.txt", "hand\nleft face\n\n", HAND_FACE),
        ("a.txt", "\ufeffhand\r\nleft face", HAND_FACE),
        ("a.txt", "3 hand\n90  left face\n", GAPS),
        ("a.names", "3: hand\n90: left face", GAPS),
        ("a.txt", "90 left face\n3 hand", GAPS[::-1]),
        ("a.json", '["hand", "left face"]', HAND_FACE),
        ("a.json", '{"3": "hand", "90": "left face"}', GAPS),
        ("a.json", '[{"id": 3, "name": "hand"}, {"id": 90, "name": "left face"}]', GAPS),
        (
            "instances.json",
            json.dumps({"images": [], "categories": [{"id": 3, "name": "hand", "x": 1}]}),
            GAPS[:1],
        ),
        ("map.pbtxt", PBTXT, GAPS),
    ],
)
def test_forms(tmp_path: Path, file: str, text: str, labels: tuple[Label, ...]) -> None:
    path = tmp_path / file
    path.write_text(text, encoding="utf-8")
    assert read_labels(str(path)) == labels


@pytest.mark.parametrize(
    ("file", "text", "reason"),
    [
        ("a.txt", "", "has no labels"),
        ("a.txt", "\n\n", "has no labels"),
        ("a.json", "[]", "has no labels"),
        ("a.txt", "hand\n\nface", "empty name for id 2"),
        ("a.txt", "1 hand\n1 face", "id 1 twice: 'hand' and 'face'"),
        ("a.txt", "1 hand\nface", "on 1 of its 2 lines"),
        ("a.json", '{"1": "hand", "1": "face"}', "key '1' twice"),
        ("a.json", '{"1": 5}', "5 where a name belongs"),
        ("a.json", '{"x": "hand"}', "'x' where an id belongs"),
        ("a.json", '[{"name": "hand"}]', "None where an id belongs"),
        ("a.json", "{", "Expecting"),
        ("a.pbtxt", 'item { name: "hand" }', "without an id"),
        ("a.pbtxt", 'item { name: "hand" id: 1', "closing brace"),
        ("a.pbtxt", 'item { name: "hand" id: -1 }', "where an id belongs"),
    ],
)
def test_errors(tmp_path: Path, file: str, text: str, reason: str) -> None:
    path = tmp_path / file
    path.write_text(text)
    with pytest.raises(ConversionError, match=reason) as raised:
        read_labels(str(path))
    assert file in str(raised.value)


def test_a_file_that_is_missing_or_binary(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="coco80, coco91 or a file"):
        read_labels("coco79")
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConversionError, match="cannot be read"):
        read_labels(str(path))


def test_otx_says_the_names_with_their_spaces() -> None:
    info = {
        "labels": "otx_empty_lbl left_face hand",
        "label_info": '{"label_names": ["left face", "hand"]}',
    }
    assert [label.name for label in labels_from_model_info(info)] == ["left face", "hand"]


@pytest.mark.parametrize("said", ['{"label_names": ["right face", "hand"]}', "[1]", "{", "null"])
def test_a_label_info_of_something_else_says_nothing(said: str) -> None:
    info = {"labels": "left_face hand", "label_info": said}
    assert [label.name for label in labels_from_model_info(info)] == ["left_face", "hand"]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", []),
        ("background hand left_face", ["hand", "left_face"]),
        ("otx_empty_lbl hand", ["hand"]),
        ("hand face", ["hand", "face"]),
    ],
)
def test_model_api_labels(text: str, names: list[str]) -> None:
    labels = labels_from_model_info({"labels": text})
    assert [label.name for label in labels] == names
    assert [label.id for label in labels] == list(range(1, len(names) + 1))


@pytest.mark.parametrize("background", ["", "background "])
def test_cocos_names_get_their_ids(background: str) -> None:
    names = " ".join(label.name.replace(" ", "_") for label in COCO_LABELS)
    assert labels_from_model_info({"labels": background + names}) == COCO_LABELS
    other = names.replace("toothbrush", "comb")
    assert labels_from_model_info({"labels": other})[9] == Label(10, "traffic_light")
