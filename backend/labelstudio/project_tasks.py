"""A project's tasks and their predictions, by Label Studio's API (1.23.2)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from backend.labelstudio.client import Files
from backend.labelstudio.json_calls import JsonCalls, Row

_PAGE = 100
# It writes eight hex digits before the name of an uploaded file, and "_" for odd characters.
_UPLOADED = re.compile(r"/data/upload/\d+/[0-9a-f]{8}-(?P<name>[^/?]+)$")


class ProjectTasks:
    """The tasks of one project. Every method raises LabelStudioError."""

    def __init__(self, calls: JsonCalls, project_id: int) -> None:
        self._calls = calls
        self._project_id = project_id

    def all(self) -> list[Row]:
        """All tasks in the order of their ids, addresses as they are stored."""
        return sorted(self._pages(), key=lambda row: int(row["id"]))

    def upload(self, images: Iterable[tuple[str, bytes]]) -> None:
        """A task for each image; `images`: file name and bytes."""
        path = f"api/projects/{self._project_id}/import"
        self._calls.object("POST", path, Files(list(images)))

    def retrieve_predictions(self, task_ids: Sequence[int]) -> None:
        """Let Label Studio ask the project's backend, as the Data Manager does; waits for it."""
        query: dict[str, str | int] = {
            "id": "retrieve_tasks_predictions", "project": self._project_id,
        }  # fmt: skip
        selected = {"selectedItems": {"all": False, "included": list(task_ids)}}
        self._calls.object("POST", "api/dm/actions/", selected, query)

    def predictions(self, task_id: int) -> list[Row]:
        """The stored predictions of one task."""
        return self._calls.rows("api/predictions/", {"task": task_id})

    def _pages(self) -> Iterator[Row]:
        seen, page, total = 0, 1, 1
        while seen < total:
            query: dict[str, str | int] = {
                "project": self._project_id, "page": page, "page_size": _PAGE,
                "fields": "task_only", "resolve_uri": "false",
            }  # fmt: skip
            answer = self._calls.object("GET", "api/tasks/", query=query)
            rows, total = answer.get("tasks"), int(answer.get("total") or 0)
            if not isinstance(rows, list):
                raise self._calls.no_label_studio()
            if not rows:
                return
            seen += len(rows)
            page += 1
            yield from rows


def uploaded_name(address: str) -> str | None:
    """The file name behind an address of an uploaded file; None for other addresses."""
    found = _UPLOADED.search(address)
    return found["name"] if found else None
