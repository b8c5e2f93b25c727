"""Which annotations count, and what they are compared with."""

from __future__ import annotations

from typing import Any

import pytest
from corrected import annotation, polygon, prediction, task

from backend.bulk.selection import BLANK_VERSION
from backend.corrections.history import AnnotatedTask, current_version_of, tasks_of_row
from backend.labelstudio.api import Project
from backend.labelstudio.label_config import ImageTag
from backend.runtime.errors import FetchError, LabelStudioError

CAR = polygon("0-0", 0, 0, 10, 10)


def one(row: dict[str, Any], version: str = "v1") -> AnnotatedTask:
    (found,) = tasks_of_row(row, version)
    return found


def test_a_task_without_annotation() -> None:
    assert tasks_of_row(task(1, [], [prediction(1, CAR)])) == []


def test_a_skipped_annotation_does_not_count() -> None:
    assert tasks_of_row(task(1, [annotation(1, CAR, was_cancelled=True)], [])) == []


def test_an_annotation_and_what_it_began_with() -> None:
    found = one(task(7, [annotation(3, CAR, parent=2)], [prediction(1), prediction(2, CAR)]))
    assert (found.task_id, found.annotation_id, found.lead_time_s) == (7, 3, 10.0)
    assert found.data == {"image": "http://127.0.0.1/7.jpg"}
    assert found.result == (CAR,)
    assert found.prediction is not None
    assert (found.prediction.id, found.prediction.result) == (2, (CAR,))
    assert (found.source, found.has_parent, found.is_blank) == ("parent", True, False)
    assert found.began_with_prediction


def test_the_annotation_saved_last_counts() -> None:
    row = task(1, [annotation(5, CAR, updated_at="2026-11-21T09:00:00Z"), annotation(6)], [])
    assert one(row).annotation_id == 5
    assert [each.annotation_id for each in tasks_of_row(row, all_annotations=True)] == [6, 5]


def test_without_a_parent_the_last_prediction_of_the_current_version_is_taken() -> None:
    predictions = [prediction(1), prediction(2), prediction(3, version="v2")]
    found = one(task(1, [annotation(1, CAR)], predictions))
    assert found.prediction is not None
    assert (found.prediction.id, found.source) == (2, "current")
    assert not (found.has_parent or found.began_with_prediction)


def test_where_no_version_is_known_the_last_prediction_is_taken() -> None:
    found = one(task(1, [annotation(1, CAR)], [prediction(1), prediction(3, version="v2")]), "")
    assert found.prediction is not None
    assert found.prediction.id == 3


def test_a_prediction_of_another_version_does_not_count() -> None:
    found = one(task(1, [annotation(1, CAR)], [prediction(1, version="v0")]))
    assert (found.prediction, found.source) == (None, None)


def test_a_parent_that_was_deleted_is_no_parent() -> None:
    found = one(task(1, [annotation(1, CAR, parent=9)], [prediction(1, CAR)]))
    assert found.source == "current"


@pytest.mark.parametrize("origin", ["prediction", "prediction-changed"])
def test_regions_say_that_there_was_a_prediction_once(origin: str) -> None:
    row = task(1, [annotation(1, CAR | {"origin": origin})], [prediction(1, version=BLANK_VERSION)])
    found = one(row)
    assert (found.has_parent, found.began_with_prediction, found.began_blank) == (
        False,
        True,
        False,
    )
    assert not one(task(1, [annotation(1, CAR | {"origin": "manual"})], [])).began_with_prediction


def test_a_task_left_blank_has_nothing_to_compare() -> None:
    blank = prediction(1, version=BLANK_VERSION)
    for parent in (None, 1):
        found = one(task(1, [annotation(1, CAR, parent=parent)], [blank, prediction(2, CAR)]))
        assert (found.prediction, found.source) == (None, None)
        assert (found.is_blank, found.began_blank) == (True, True)


def test_a_task_filled_later_counts_as_what_it_began_with() -> None:
    blank = prediction(1, version=BLANK_VERSION)
    found = one(task(1, [annotation(1, CAR, parent=2)], [blank, prediction(2, CAR)]))
    assert (found.source, found.is_blank, found.began_blank) == ("parent", True, False)


def test_what_label_studio_does_not_say() -> None:
    row = task(1, [annotation(1, CAR, lead_time=None, completed_by={"id": 4})], [])
    assert (one(row).lead_time_s, one(row).completed_by) == (None, 4)


def test_annotations_without_regions_are_an_error() -> None:
    stub = annotation(1)
    del stub["result"]
    with pytest.raises(LabelStudioError, match="feature flag"):
        tasks_of_row(task(1, [stub], []))


def test_prompts_that_were_left_in_are_no_regions() -> None:
    prompt = polygon("p", 5, 5, 9, 9) | {"from_name": "box"}
    (found,) = tasks_of_row(task(1, [annotation(1, CAR, prompt)], []), "", {"box"})
    assert found.result == (CAR,)
    assert one(task(1, [annotation(1, CAR, prompt)], [])).result == (CAR, prompt)


@pytest.mark.parametrize(("item_index", "address"), [(0, "a"), (1, "b"), (2, None), (-1, None)])
def test_the_address_of_an_image(item_index: int, address: str | None) -> None:
    found = one(task(1, [annotation(1, CAR)], []) | {"data": {"pages": ["a", "b"]}})
    tag = ImageTag("image", "pages", is_list=True)
    if address is not None:
        assert found.address(tag, item_index) == address
        return
    with pytest.raises(FetchError, match=f"2 images in 'pages', but not number {item_index}"):
        found.address(tag, item_index)


class Api:
    """What `current_version_of` asks for."""

    def prediction_counts(self, project: Project) -> dict[str, int]:
        return {"model+abc": 3}

    def backends(self, project: Project) -> list[dict[str, Any]]:
        return [{"title": "labelvino", "model_version": "model+def"}]


@pytest.mark.parametrize(
    ("shown", "version"),
    [("", ""), ("model+abc", "model+abc"), ("labelvino", "model+def"), ("gone", "")],
)
def test_the_version_that_annotators_see(shown: str, version: str) -> None:
    project = Project(1, "p", "", True, shown)
    assert current_version_of(Api(), project) == version  # type: ignore[arg-type]
