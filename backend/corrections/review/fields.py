"""What a review found, in the data of tasks, where the Data Manager shows, sorts and filters it.

Label Studio 1.23.2 has no other place of a task that becomes a column. A change replaces the whole
data of a task, so it is read anew just before, with addresses as they are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from backend.corrections.review.findings import KINDS, Finding
from backend.labelstudio.json_calls import Row
from backend.labelstudio.project_tasks import ProjectTasks

SCORE_FIELD = "labelvino_review"
FIELDS = (SCORE_FIELD, *(f"labelvino_{kind}" for kind in KINDS))
_AT_ONCE = 20  # tasks between being read and being written

Values = Mapping[str, float | int]


def field_values(findings: Collection[Finding]) -> dict[str, float | int]:
    """Of one task: the highest confidence (0 where there is no finding), and a number of each kind.

    Always numbers, since an empty value would stand before all of them in the Data Manager.
    """
    highest = max((each.confidence for each in findings), default=0.0)
    values: dict[str, float | int] = {SCORE_FIELD: round(highest, 3)}
    for kind in KINDS:
        values[f"labelvino_{kind}"] = sum(each.kind == kind for each in findings)
    return values


def write_fields(
    tasks: ProjectTasks, wanted: Mapping[int, Values], advance: Callable[[int], None]
) -> int:
    """Give tasks these values and leave all else; gives how many had others before.

    `advance`: told how many are done. Raises LabelStudioError.
    """
    changed = 0
    ids = list(wanted)
    for start in range(0, len(ids), _AT_ONCE):
        chunk = ids[start : start + _AT_ONCE]
        for row in tasks.fetch(chunk):
            task_id = int(row["id"])
            changed += _change(tasks, row, {**row["data"], **wanted[task_id]})
        advance(len(chunk))
    return changed


def clear_fields(tasks: ProjectTasks) -> int:
    """Remove the values from all tasks of the project; gives how many had any."""
    changed = 0
    having = [int(row["id"]) for page in tasks.pages() for row in page if _has_any(row)]
    for start in range(0, len(having), _AT_ONCE):
        for row in tasks.fetch(having[start : start + _AT_ONCE]):
            data = {name: value for name, value in row["data"].items() if name not in FIELDS}
            changed += _change(tasks, row, data)
    return changed


def _has_any(row: Row) -> bool:
    return any(name in row["data"] for name in FIELDS)


def _change(tasks: ProjectTasks, row: Row, data: Row) -> bool:
    if data == row["data"]:
        return False
    tasks.change_data(int(row["id"]), data)
    return True
