"""Tasks out of files, and images of the user's own."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from bulk_parts import png
from hypothesis import given
from hypothesis import strategies as st

from backend.bulk.offline.json_stream import JsonStream
from backend.bulk.offline.own_files import OwnFiles
from backend.bulk.offline.task_source import TaskSource
from backend.runtime.errors import FetchError, SettingsError


class InPieces(StringIO):
    """Gives one character at a time, as a slow disk would."""

    def read(self, size: int | None = -1, /) -> str:
        return super().read(1)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(values=st.lists(JSON, max_size=5), indent=st.sampled_from([None, 1]))
def test_an_array_is_read_as_json_reads_it(values: list[Any], indent: int | None) -> None:
    text = json.dumps(values, indent=indent, ensure_ascii=False)
    for file in (StringIO(text), InPieces(text)):
        stream = JsonStream(file)
        assert list(stream.array()) == values
        stream.end()


@given(value=st.dictionaries(st.text(), JSON, max_size=4))
def test_an_object_is_read_as_json_reads_it(value: dict[str, Any]) -> None:
    stream = JsonStream(InPieces(f" {json.dumps(value)}\n"))
    assert {name: stream.value() for name in stream.members()} == value
    stream.end()


@pytest.mark.parametrize(
    "text", ["", "[", "[1", "[1,", "[1,]", "[1 2]", "{}", '["a', '[{"a": 1]', "nonsense"]
)
def test_what_is_no_array(text: str) -> None:
    with pytest.raises(ValueError):
        list(JsonStream(InPieces(text)).array())


def test_something_behind_the_end() -> None:
    stream = JsonStream(StringIO("[1] x"))
    assert list(stream.array()) == [1]
    with pytest.raises(ValueError, match="x"):
        stream.end()


def written(path: Path, text: str, **given: Any) -> list[dict[str, Any]]:
    path.write_text(text, encoding="utf-8")
    return [task.written for task in TaskSource(path, "image", **given)]


def test_no_tasks(tmp_path: Path) -> None:
    assert written(tmp_path / "a.json", "[]") == []
    assert written(tmp_path / "a.jsonl", "\n") == []
    assert written(tmp_path / "a.txt", "") == []
    assert written(tmp_path / "a.csv", "image\n") == []
    assert written(tmp_path / "a.json", '{"images": [], "annotations": []}') == []


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_label_studios_forms(tmp_path: Path, mark: str) -> None:
    task = {"id": 7, "data": {"image": "a.jpg"}, "annotations": [{"id": 1}]}
    tasks = [task, {"image": "b.jpg"}]
    expected = [task, {"data": {"image": "b.jpg"}}]
    assert written(tmp_path / "a.json", mark + json.dumps(tasks)) == expected
    assert written(tmp_path / "a.json", mark + json.dumps(task)) == [task]
    lines = "\n".join(json.dumps(each) for each in tasks)
    assert written(tmp_path / "a.jsonl", mark + lines) == expected
    assert written(tmp_path / "a.ndjson", mark + lines + "\n") == expected
    row = {"data": {"image": "a,b.jpg", "place": "x"}}
    assert written(tmp_path / "a.csv", mark + 'image,place\r\n"a,b.jpg",x\r\n') == [row]
    assert written(tmp_path / "a.tsv", mark + "image\tplace\na,b.jpg\tx\n") == [row]
    assert written(tmp_path / "a.txt", mark + "a.jpg\n\n b c.jpg\n") == [
        {"data": {"image": "a.jpg"}},
        {"data": {"image": "b c.jpg"}},
    ]


def test_coco_wherever_its_images_stand(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "x/a b.jpg"}, {"id": 2, "file_name": "b.jpg"}]
    for content in (
        {"info": {}, "annotations": [{"id": 1}], "images": images},
        {"images": images, "categories": []},
    ):
        path = tmp_path / "coco.json"
        path.write_text(json.dumps(content))
        tasks = list(TaskSource(path, "photo", "/data/local-files/?d="))
        assert [task.read["data"]["photo"] for task in tasks] == ["x/a b.jpg", "b.jpg"]
        assert tasks[0].written == {"data": {"photo": "/data/local-files/?d=x/a%20b.jpg"}}


def test_a_folder(tmp_path: Path) -> None:
    for name in ("b.png", "a.jpg", "notes.txt"):
        (tmp_path / name).write_bytes(png())
    source = TaskSource(tmp_path, "image")
    assert [task.written["data"]["image"] for task in source] == ["a.jpg", "b.png"]
    before = source.digest()
    (tmp_path / "c.png").write_bytes(png())
    assert source.digest() != before


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.json", '[{"image": "a"}, 7]', "behind its 1 tasks"),
        ("a.json", '[{"image": "a"}, {"image"', "behind its 1 tasks"),
        ("a.json", '{"images": [{"id": 1}]}', "file_name"),
        ("a.json", "", "damaged"),
        ("a.jsonl", '{"image": "a"}\n{"image"\n', "behind its 1 tasks"),
        ("a.xml", "<View/>", "no source of tasks"),
    ],
)
def test_what_is_damaged_is_said_with_its_place(
    name: str, text: str, says: str, tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match=says):
        written(tmp_path / name, text)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'[{"image": "\xff\xfe"}]')
    with pytest.raises(SettingsError, match="damaged"):
        list(TaskSource(tmp_path / "a.json", "image"))


def test_a_source_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no file or folder"):
        TaskSource(tmp_path / "no.json", "image")


def test_names_alone_do_not_fit_a_config_with_several_images(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a.jpg\n")
    with pytest.raises(SettingsError, match="give tasks as JSON"):
        list(TaskSource(tmp_path / "a.txt", None))


class Others:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        self.asked.append(url)
        return b"fetched"


def test_plain_paths_are_read_and_the_rest_is_passed_on(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("in/a b.png", "data.png", "50%.png"):
        (tmp_path / name).write_bytes(name.encode())
    others = Others()
    files = OwnFiles(tmp_path, 100, others)
    assert files.fetch("in/a b.png") == files.fetch("in/a%20b.png") == b"in/a b.png"
    assert files.fetch("50%.png") == b"50%.png"
    assert files.fetch(str(tmp_path / "data.png")) == b"data.png"
    assert files.fetch(f"file://{tmp_path}/in/a%20b.png") == b"in/a b.png"
    assert others.asked == []
    elsewhere = ["http://h/a.png", "//h/a.png", "s3://b/a", "/data/upload/1/a.png", "data:x", ""]
    assert [files.fetch(url) for url in elsewhere] == [b"fetched"] * len(elsewhere)
    assert others.asked == elsewhere


def test_a_file_of_ours_goes_before_an_address_of_label_studio(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.png").write_bytes(b"mine")
    assert OwnFiles(tmp_path, 100, Others()).fetch("data/a.png") == b"mine"


def test_what_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "big.png").write_bytes(b"x" * 101)
    files = OwnFiles(tmp_path, 100, Others())
    with pytest.raises(FetchError, match=r"no file .*--image-root"):
        files.fetch("none.png")
    with pytest.raises(FetchError, match="LABELVINO_MAX_IMAGE_BYTES"):
        files.fetch("big.png")
    for name in ("a\0b", "x" * 100_000):
        with pytest.raises(FetchError) as caught:
            files.fetch(name)
        assert len(str(caught.value)) < 1000
