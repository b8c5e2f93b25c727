"""Tasks in files: Label Studio's import and export formats, COCO files, folders of images."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

from backend.bulk.offline.json_stream import JsonStream
from backend.photos import find_photos
from backend.runtime.errors import SettingsError

Task = dict[str, Any]

csv.field_size_limit(1 << 30)


@dataclass(frozen=True)
class SourceTask:
    """`written`: as it goes into the output; `read`: the same with addresses that lead to files."""

    written: Task
    read: Task


class TaskSource:
    """Tasks in their order, as often as it is iterated; only one is in memory at a time.

    .json          Label Studio's JSON and JSON_MIN exports, its import formats, or a COCO file
    .jsonl         one task a line
    .csv .tsv      one task a row, fields by the first line
    .txt           one image address a line
    a folder       one task for each image in it
    """

    def __init__(self, path: Path, image_field: str | None, image_prefix: str = "") -> None:
        """`image_field`: of the label config, for sources that name files only; None: several.

        `image_prefix` goes before file names in the written addresses. Raises SettingsError.
        """
        self.path = path
        self._image_field = image_field
        self._prefix = image_prefix
        if path.is_dir():
            self._kind = "folder"
        elif path.is_file():
            suffix = path.suffix.lower()
            self._kind = {".ndjson": ".jsonl"}.get(suffix, suffix)
        else:
            raise SettingsError(f"there is no file or folder {path} to take tasks from.")
        if self._kind not in ("folder", ".json", ".jsonl", ".csv", ".tsv", ".txt"):
            raise SettingsError(
                f"{path} is no source of tasks: give a .json, .jsonl, .csv, .tsv or .txt file, or "
                "a folder of images."
            )

    @property
    def folder(self) -> Path:
        """Where relative paths count from."""
        return self.path if self._kind == "folder" else self.path.parent

    def digest(self) -> str:
        """SHA-256 (hex) of what gives the tasks; of a folder, the names in it."""
        digest = hashlib.sha256()
        if self._kind == "folder":
            for photo in find_photos([self.path]):
                digest.update(f"{photo.name}\n".encode(errors="surrogatepass"))
            return digest.hexdigest()
        with self.path.open("rb") as file:
            while part := file.read(1 << 20):
                digest.update(part)
        return digest.hexdigest()

    def __iter__(self) -> Iterator[SourceTask]:
        """Raises SettingsError for what is no task, with its place."""
        if self._kind == "folder":
            for photo in find_photos([self.path]):
                yield self._of_file(photo.name)
            return
        number = 0
        try:
            # utf-8-sig: Windows' programs begin with a mark.
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for number, task in enumerate(self._read(file), start=1):  # noqa: B007 - below
                    yield task
        except (ValueError, csv.Error, RecursionError) as error:
            raise SettingsError(
                f"{self.path} is damaged behind its {number} tasks ({error}): make it anew."
            ) from error

    def _read(self, file: TextIO) -> Iterator[SourceTask]:
        if self._kind in (".csv", ".tsv"):
            rows = csv.DictReader(file, delimiter="," if self._kind == ".csv" else "\t")
            for row in rows:
                yield _as_it_is({"data": {str(k): v for k, v in row.items() if k is not None}})
        elif self._kind == ".txt":
            for line in file:
                if line.strip():
                    yield _as_it_is({"data": {self._field: line.strip()}})
        elif self._kind == ".jsonl":
            for line in file:
                if line.strip():
                    yield _as_it_is(_task(json.loads(line)))
        else:
            yield from self._read_json(file)

    def _read_json(self, file: TextIO) -> Iterator[SourceTask]:
        stream = JsonStream(file)
        if stream.peek() != "{":
            for value in stream.array():
                yield _as_it_is(_task(value))
            stream.end()
            return
        if not self._is_coco():
            yield _as_it_is(_task(stream.value()))
            stream.end()
            return
        for name in stream.members():
            if name != "images":
                stream.skip()
                continue
            for image in stream.array():
                if not isinstance(image, dict) or not isinstance(image.get("file_name"), str):
                    raise ValueError("an entry of COCO's images has no file_name")  # noqa: TRY004 - of the file
                yield self._of_file(image["file_name"])

    def _is_coco(self) -> bool:
        with self.path.open(encoding="utf-8-sig") as file:
            stream = JsonStream(file)
            for name in stream.members():
                if name == "images" and stream.peek() == "[":
                    return True
                stream.skip()
        return False

    @property
    def _field(self) -> str:
        if self._image_field is None:
            raise SettingsError(
                f"{self.path} names images only, and the label config wants several: give tasks as "
                "JSON."
            )
        return self._image_field

    def _of_file(self, name: str) -> SourceTask:
        written = self._prefix + quote(name) if self._prefix else name
        return SourceTask({"data": {self._field: written}}, {"data": {self._field: name}})


def _as_it_is(task: Task) -> SourceTask:
    return SourceTask(task, task)


def _task(value: object) -> Task:
    """A task, or its data alone, as Label Studio imports both."""
    if not isinstance(value, dict):
        raise ValueError("a task is no object")  # noqa: TRY004 - of the file
    return value if isinstance(value.get("data"), dict) else {"data": value}
