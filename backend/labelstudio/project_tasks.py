"""A project's tasks and their predictions, by Label Studio's API (1.23.2)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from backend.labelstudio.client import Files
from backend.labelstudio.json_calls import JsonCalls, Query, RefusedError, Row

Condition = Row
"""One filter of the Data Manager."""

#: Model version of the empty prediction that marks a task left without pre-annotation on purpose.
BLANK_VERSION = "labelvino-left-blank"

_PAGE = 500
_ASKED_AT_ONCE = 100  # ids in one address
_ASKED_IN_FULL = 20  # with annotations and predictions, which may have a megabyte a task


def without_version(*versions: str) -> Condition:
    """Tasks that have no prediction of these model versions (nor of longer names of them)."""
    return _condition("predictions_model_versions", "not_contains", "List", list(versions))


def with_version(version: str) -> Condition:
    """Tasks that have a prediction of this model version, or of a longer name of it."""
    return _condition("predictions_model_versions", "contains", "List", [version])


def without_annotations() -> Condition:
    return _condition("total_annotations", "equal", "Number", 0)


def with_annotations() -> Condition:
    """Tasks that have an annotation; those that were skipped have none."""
    return _condition("total_annotations", "greater", "Number", 0)


def behind(task_id: int) -> Condition:
    """Tasks with a higher id: those that were added later."""
    return _condition("id", "greater", "Number", task_id)


def with_more_predictions_than(number: int) -> Condition:
    return _condition("total_predictions", "greater", "Number", number)


class ProjectTasks:
    """The tasks of one project. Every method raises LabelStudioError."""

    def __init__(self, calls: JsonCalls, project_id: int) -> None:
        self._calls = calls
        self._project_id = project_id

    def all(self) -> list[Row]:
        """All tasks in the order of their ids, addresses as they are stored."""
        return [row for page in self.pages() for row in page]

    def pages(self, *conditions: Condition, behind: int = 0) -> Iterator[list[Row]]:
        """Tasks that meet all conditions, in the order of their ids, some hundred at a time.

        Tasks may change between two pages: each page begins behind the last id of the one before,
        the first one behind the id `behind`.
        """
        return self._pages(conditions, _PAGE, behind=behind)

    def pages_in_full(self, *conditions: Condition, behind: int = 0) -> Iterator[list[Row]]:
        """As `pages`, with annotations and predictions, some tens at a time."""
        return self._pages(conditions, _ASKED_IN_FULL, annotations=True, behind=behind)

    def ids_of_view(self, view_id: int) -> list[int]:
        """The tasks that a tab of the Data Manager shows, in its order."""
        ids: dict[int, None] = {}
        page, seen = 1, 0
        while True:
            rows, total = self._rows({"page_size": _PAGE, "page": page, "view": view_id})
            seen += len(rows)
            ids |= dict.fromkeys(int(row["id"]) for row in rows)
            if seen >= total or not rows:  # a page behind the last one is an error
                return list(ids)
            page += 1

    def fetch(
        self, task_ids: Sequence[int], *conditions: Condition, annotations: bool = False
    ) -> list[Row]:
        """Those of these tasks that are there and meet all conditions, in the order of their ids.

        `annotations`: with them, and with the predictions.
        """
        rows: list[Row] = []
        at_once = _ASKED_IN_FULL if annotations else _ASKED_AT_ONCE
        for start in range(0, len(task_ids), at_once):
            asked = list(task_ids[start : start + at_once])
            for page in self._pages(conditions, at_once, asked, annotations=annotations):
                rows += page
        return sorted(rows, key=lambda row: int(row["id"]))

    def ids_of(self, task_ids: Sequence[int], *conditions: Condition) -> set[int]:
        """As `fetch`, but only the ids are kept."""
        found: set[int] = set()
        for start in range(0, len(task_ids), _ASKED_AT_ONCE):
            asked = task_ids[start : start + _ASKED_AT_ONCE]
            found |= {int(row["id"]) for row in self.fetch(asked, *conditions)}
        return found

    def count(self, *conditions: Condition, included: Sequence[int] | None = None) -> int:
        """How many tasks meet all conditions, among all or among those `included`."""
        if included is None:
            return self._rows({"page_size": 1}, _query(conditions))[1]
        parts = range(0, len(included), _ASKED_AT_ONCE)
        asked = [list(included[start : start + _ASKED_AT_ONCE]) for start in parts]
        return sum(self._rows({"page_size": 1}, _query(conditions, ids))[1] for ids in asked)

    def behind_which(self, number: int, *conditions: Condition) -> tuple[int, int]:
        """Of tasks that meet all conditions: the id behind which the last `number` of them are.

        And how many are not behind it; 0 and 0 where there are no more than `number`.
        """
        if self.count(*conditions) <= number:
            return 0, 0
        one = {"page_size": 1, "page": number + 1}
        rows, total = self._rows(one, _query(conditions, ordering="-tasks:id"))
        return (int(rows[0]["id"]), total - number) if rows else (0, 0)

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

    def import_predictions(self, predictions: Sequence[Row]) -> int:
        """Store predictions (`task`, `model_version`, `score`, `result`); gives how many it took.

        Label Studio drops what it finds invalid without a word.
        """
        path = f"api/projects/{self._project_id}/import/predictions"
        return int(self._calls.object("POST", path, predictions)["created"])

    def predictions(self, task_id: int) -> list[Row]:
        """The stored predictions of one task."""
        return self._calls.rows("api/predictions/", {"task": task_id})

    def delete_prediction(self, prediction_id: int) -> None:
        """Also where somebody else has deleted it meanwhile."""
        try:
            self._calls.call("DELETE", f"api/predictions/{prediction_id}/")
        except RefusedError as error:
            if error.status != 404:
                raise

    def change_data(self, task_id: int, data: Row) -> None:
        """Replace the whole of a task's data: Label Studio keeps nothing of what was there."""
        answer = self._calls.object("PATCH", f"api/tasks/{task_id}/", {"data": data})
        if answer.get("data") != data:
            raise self._calls.no_label_studio()

    def delete_version(self, model_version: str) -> None:
        """Delete all predictions of one model version."""
        path = f"api/projects/{self._project_id}/model-versions/"
        self._calls.call("DELETE", path, {"model_version": model_version})

    def _pages(
        self,
        conditions: Sequence[Condition],
        page_size: int,
        included: list[int] | None = None,
        *,
        annotations: bool = False,
        behind: int = 0,
    ) -> Iterator[list[Row]]:
        """Label Studio may be set to give smaller pages than it is asked for."""
        last = behind
        while True:
            query = _query([*conditions, _condition("id", "greater", "Number", last)], included)
            rows, total = self._rows({"page_size": page_size}, query, annotations=annotations)
            if not rows:
                return
            yield rows
            if len(rows) >= total:
                return
            last = int(rows[-1]["id"])

    def _rows(
        self, query: Query, conditions: Query | None = None, *, annotations: bool = False
    ) -> tuple[list[Row], int]:
        """One page, and how many there are on all pages."""
        asked: dict[str, str | int] = {
            "project": self._project_id,
            "fields": "all" if annotations else "task_only",
            "resolve_uri": "false",
            # Else a project with automatic retrieval would first ask its backend for predictions
            # of all tasks of the page (data_manager/api.py), and let us wait for it.
            "review": "true",
            **query,
            **(conditions or {}),
        }
        answer = self._calls.object("GET", "api/tasks/", query=asked)
        rows, total = answer.get("tasks"), answer.get("total")
        if not isinstance(rows, list) or not isinstance(total, int):
            raise self._calls.no_label_studio()
        return rows, total


def _query(
    conditions: Sequence[Condition],
    included: list[int] | None = None,
    *,
    ordering: str = "tasks:id",
) -> Query:
    asked: Row = {
        "filters": {"conjunction": "and", "items": list(conditions)},
        "ordering": [ordering],
    }
    if included is not None:
        asked["selectedItems"] = {"all": False, "included": included}
    return {"query": json.dumps(asked)}


def _condition(column: str, operator: str, kind: str, value: object) -> Condition:
    return {
        "filter": f"filter:tasks:{column}", "operator": operator, "type": kind, "value": value,
    }  # fmt: skip
