"""A project's annotations, and the predictions that they began with, from Label Studio.

What 1.23.2 says: an annotation that began with a prediction has its `parent_prediction`, until
that prediction is deleted; `lead_time` is the seconds that the task was open in the editor, summed
over every time that the annotation was saved; skipped tasks have a cancelled annotation.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal

from backend.labelstudio.api import LabelStudioApi, Project
from backend.labelstudio.json_calls import Row
from backend.labelstudio.label_config import ImageTag, LabelConfig, smart_only_controls
from backend.labelstudio.patience import Patience
from backend.labelstudio.project_tasks import (
    BLANK_VERSION,
    Condition,
    ProjectTasks,
    with_annotations,
)
from backend.runtime.errors import FetchError, LabelStudioError

Source = Literal["parent", "current"]
_PREDICTED = ("prediction", "prediction-changed")  # origins
_GIVE_UP_S = 60.0


@dataclass(frozen=True, eq=False)
class StoredPrediction:
    """`result` as Label Studio stores it; `score` of the whole, None where it has none."""

    id: int
    model_version: str
    score: float | None
    result: tuple[Row, ...]


@dataclass(frozen=True, eq=False)
class AnnotatedTask:
    """One annotation that counts, and the prediction to compare it with.

    data              of the task, addresses as they are stored
    result            the annotation's regions
    lead_time_s       seconds that a person needed; None where Label Studio does not say
    prediction        None where the task has none that counts (the mark of a blank task does not)
    source            "parent": the annotation began with the prediction; "current": it is not known
                      with which it began, so this is the task's one of the current version
    is_blank          the task was left without pre-annotation on purpose
    parent_annotation that it is a copy of, if any
    """

    task_id: int
    data: Mapping[str, Any]
    annotation_id: int
    result: tuple[Row, ...]
    lead_time_s: float | None
    created_at: datetime
    updated_at: datetime
    completed_by: int | None
    prediction: StoredPrediction | None
    source: Source | None
    is_blank: bool
    parent_annotation: int | None = None

    @property
    def has_parent(self) -> bool:
        """Whether `prediction` is what the annotation began with, so that region ids are shared."""
        return self.source == "parent"

    @property
    def began_with_prediction(self) -> bool:
        """Also with one that was deleted meanwhile: its regions still say where they come from."""
        return self.has_parent or any(item.get("origin") in _PREDICTED for item in self.result)

    @property
    def began_blank(self) -> bool:
        """A task of the control group: left blank, and not begun with a later prediction."""
        return self.is_blank and not self.began_with_prediction

    def address(self, image: ImageTag, item_index: int = 0) -> str:
        """Of one of the task's images. Raises FetchError where the task has no such one."""
        addresses = image.addresses(self.data)
        if not 0 <= item_index < len(addresses):
            raise FetchError(
                f"the task has {len(addresses)} images in '{image.field}', but not number "
                f"{item_index}, counted from 0: its data was changed meanwhile."
            )
        return addresses[item_index]


def annotated_tasks(
    api: LabelStudioApi,
    project: Project,
    *conditions: Condition,
    current_version: str | None = None,
    all_annotations: bool = False,
) -> Iterator[AnnotatedTask]:
    """Annotations of a project in the order of the tasks' ids, some tens of tasks in memory.

    Cancelled annotations do not count; of several of a task the one saved last, or with
    `all_annotations` each. `current_version`: see `current_version_of`; None asks for it. Prompts
    that were left in an annotation are no regions of it. What fails for a passing reason is asked
    for again, for a minute. Raises LabelStudioError or LabelConfigError.
    """
    prompts = smart_only_controls(project.label_config)
    version = current_version_of(api, project) if current_version is None else current_version
    tasks, patience, last = ProjectTasks(api.calls, project.id), Patience(give_up_s=_GIVE_UP_S), 0
    while page := patience.call(partial(_page_behind, tasks, conditions, last)):
        last = int(page[-1]["id"])
        for row in page:
            yield from tasks_of_row(row, version, prompts, all_annotations=all_annotations)


def _page_behind(tasks: ProjectTasks, conditions: Sequence[Condition], last: int) -> list[Row]:
    return next(tasks.pages_in_full(with_annotations(), *conditions, behind=last), [])


def current_version_of(api: LabelStudioApi, project: Project) -> str:
    """The model version that annotators of the project see now; "" where that is not known.

    A project names the version of imported predictions, or the title of a backend.
    """
    named = project.model_version
    if not named or named in api.prediction_counts(project):
        return named
    backend = next((each for each in api.backends(project) if each.get("title") == named), None)
    return str(backend.get("model_version") or "") if backend is not None else ""


def tasks_of_row(
    row: Row,
    current_version: str = "",
    prompts: Collection[str] = (),
    *,
    all_annotations: bool = False,
) -> list[AnnotatedTask]:
    """The annotations of one task as Label Studio lists it in full.

    `prompts`: names of controls whose regions do not count. Raises LabelStudioError.
    """
    annotations = [each for each in row["annotations"] if not each.get("was_cancelled")]
    annotations.sort(key=lambda each: (_time(each["updated_at"]), int(each["id"])))
    predictions = [_prediction(each) for each in row["predictions"]]
    is_blank = any(each.model_version == BLANK_VERSION for each in predictions)
    real = {each.id: each for each in predictions if each.model_version != BLANK_VERSION}
    counting = annotations if all_annotations else annotations[-1:]
    return [
        _annotated(row, each, real, current_version, prompts, is_blank=is_blank)
        for each in counting
    ]


def image_tag(config: LabelConfig, to_name: str) -> ImageTag | None:
    """The tag that a region's `to_name` means."""
    return next((image for image in config.images if image.name == to_name), None)


def _annotated(
    row: Row,
    annotation: Row,
    predictions: Mapping[int, StoredPrediction],
    current_version: str,
    prompts: Collection[str],
    *,
    is_blank: bool,
) -> AnnotatedTask:
    if "result" not in annotation:
        raise LabelStudioError(
            "Label Studio lists annotations without their regions: switch its feature flag "
            "fflag_fix_all_fit_720_lazy_load_annotations off."
        )
    prediction = predictions.get(annotation.get("parent_prediction") or 0)
    source: Source | None = "parent" if prediction is not None else None
    if prediction is None and not is_blank:
        prediction = _of_version(list(predictions.values()), current_version)
        source = "current" if prediction is not None else None
    lead_time = annotation.get("lead_time")
    parent_annotation = annotation.get("parent_annotation")
    return AnnotatedTask(
        task_id=int(row["id"]),
        data=row["data"],
        annotation_id=int(annotation["id"]),
        result=tuple(each for each in annotation["result"] or () if not _is_of(each, prompts)),
        lead_time_s=None if lead_time is None else float(lead_time),
        created_at=_time(annotation["created_at"]),
        updated_at=_time(annotation["updated_at"]),
        completed_by=_person(annotation.get("completed_by")),
        prediction=prediction,
        source=source,
        is_blank=is_blank,
        parent_annotation=None if parent_annotation is None else int(parent_annotation),
    )


def _is_of(item: object, controls: Collection[str]) -> bool:
    return isinstance(item, Mapping) and str(item.get("from_name")) in controls


def _of_version(predictions: Sequence[StoredPrediction], version: str) -> StoredPrediction | None:
    """The last one of the version; of any version where the project names none."""
    found = [each for each in predictions if not version or each.model_version == version]
    return max(found, key=lambda each: each.id, default=None)


def _prediction(row: Row) -> StoredPrediction:
    score = row.get("score")
    return StoredPrediction(
        int(row["id"]),
        str(row.get("model_version") or ""),
        None if score is None else float(score),
        tuple(row.get("result") or ()),
    )


def _person(value: object) -> int | None:
    """Label Studio gives an id, or an object with one."""
    if isinstance(value, Mapping):
        value = value.get("id")
    return value if isinstance(value, int) else None


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
