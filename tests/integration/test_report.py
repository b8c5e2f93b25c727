"""`labelvino report` with a stand-in Label Studio."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corrected import HEIGHT, WIDTH, Row, annotation, brush, polygon
from PIL import Image
from plain_picture import plain_jpeg
from stand_in_studio import StandInStudio, running

from backend.cli import cli
from backend.runtime.command_line import run

CONFIG = """<View><Image name="image" valueList="$images"/>
<PolygonLabels name="polygon" toName="image"><Label value="car"/><Label value="[red]bus"/>
</PolygonLabels>
<BrushLabels name="brush" toName="image"><Label value="car"/></BrushLabels></View>"""
CAR = polygon("0-0", 10, 10, 20, 20, score=0.9)
BUS = polygon("1-0", 60, 10, 20, 20, "[red]bus", score=0.8)


pytestmark = pytest.mark.usefixtures("with_token")


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(StandInStudio(CONFIG, plain_jpeg(WIDTH, HEIGHT))) as found:
        yield found


def corrected(studio: StandInStudio, *result: Row, images: int = 1, **more: Any) -> int:
    """A task whose car and bus became `result`; gives its id."""
    (task_id,) = studio.add_tasks(1)
    studio.tasks[task_id] = {"images": [f"/data/upload/1/{n}.jpg" for n in range(images)]}
    parent = studio.add_prediction(task_id, "v1", [CAR, BUS])
    studio.annotations[task_id] = [annotation(task_id, *result, parent=parent, **more)]
    return task_id


def report(studio: StandInStudio, *more: object) -> int:
    wanted = ["report", "--project", "1", "--label-studio-url", studio.url]
    return run(cli, "labelvino", [str(each) for each in (*wanted, *more)])


def content(page: Path) -> dict[str, Any]:
    (data,) = re.findall(r'id="data">(.*?)</script>', page.read_text(encoding="utf-8"))
    found: dict[str, Any] = json.loads(data)
    return found


def test_a_project_without_annotations(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.add_tasks(2)
    page = tmp_path / "page.html"
    assert report(studio, "--html", page) == 0
    assert "has no annotation yet" in capsys.readouterr().out
    assert [section["kind"] for section in content(page)["sections"]] == ["note"]
    assert report(studio, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["total"]["predicted"], found["labels"], found["worst"]) == (0, [], [])


def test_the_table_takes_labels_as_they_are(
    studio: StandInStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.project["title"] = "[bold]title"
    corrected(studio, CAR, BUS)
    assert report(studio) == 0
    shown = capsys.readouterr().out
    assert "[bold]title" in shown
    assert re.search(r"^\[red\]bus +1 +1 +1 +0 +0 +0 +0 +1.00 +1.00 +1.00", shown, re.M)


def test_every_page_of_tasks_is_read(
    studio: StandInStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.largest_page = 7
    for number in range(50):
        corrected(studio, CAR if number % 2 else BUS)
        studio.add_tasks(1)
    assert report(studio, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["tasks"]["annotations"], found["total"]["kept"], found["total"]["deleted"]) == (
        50, 50, 50,
    )  # fmt: skip


def test_all_annotations_of_a_task_if_asked(
    studio: StandInStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    task_id = corrected(studio, CAR, BUS)
    studio.annotations[task_id].append(annotation(50, CAR, parent=1))
    for more, number in (([], 1), (["--all-annotations"], 2)):
        assert report(studio, "--json", *more) == 0
        assert json.loads(capsys.readouterr().out)["tasks"]["annotations"] == number


@pytest.mark.parametrize("orientation", [1, 6])
def test_pictures_are_those_of_the_regions(
    studio: StandInStudio, tmp_path: Path, orientation: int
) -> None:
    size = (HEIGHT, WIDTH) if orientation == 6 else (WIDTH, HEIGHT)
    studio.images["1.jpg"] = plain_jpeg(*size, orientation)
    second = brush("n", 5, 5, 8, 8, item_index=1)
    task_id = corrected(studio, CAR, BUS, second, images=2)
    page = tmp_path / "page.html"
    assert report(studio, "--html", page) == 0
    (drawn,) = content(page)["pictures"]
    assert drawn["name"] == f"task {task_id}, annotation {task_id}, image 2"
    assert (drawn["width"], drawn["height"]) == (WIDTH, HEIGHT)
    assert [len(panel["instances"]) for panel in drawn["panels"]] == [0, 1]
    (worst,) = (s for s in content(page)["sections"] if s.get("name") == "worst")
    assert [row["drawn"] for row in worst["rows"]] == [drawn["name"]]
    with Image.open(io.BytesIO(_jpeg(drawn["image"]))) as shown:
        assert shown.size == (WIDTH, HEIGHT)


def _jpeg(address: str) -> bytes:
    return base64.b64decode(address.partition(",")[2])


def test_an_image_of_another_size_is_not_drawn_upon(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.image = plain_jpeg(WIDTH + 1, HEIGHT)
    corrected(studio, CAR)
    page = tmp_path / "page.html"
    assert report(studio, "--html", page) == 0
    assert "was replaced meanwhile" in capsys.readouterr().err
    assert content(page)["pictures"] == []


def test_as_many_pictures_as_asked_for(studio: StandInStudio, tmp_path: Path) -> None:
    for _ in range(4):
        corrected(studio, CAR)
    page = tmp_path / "page.html"
    for number in (0, 3):
        assert report(studio, "--html", page, "--pictures", number) == 0
        assert len(content(page)["pictures"]) == number
    assert studio.calls("GET", "/data/upload") == 3


def test_a_page_that_cannot_be_written_is_said_first(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, said in ((tmp_path, "is a folder"), (tmp_path / "no" / "p.html", "is no folder")):
        assert report(studio, "--html", path) == 1
        assert said in capsys.readouterr().err
    assert studio.seen == []


def test_a_report_that_breaks_off_leaves_the_old_page(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corrected(studio, CAR)
    page = tmp_path / "page.html"
    page.write_text("the old one")
    studio.fail("GET", "/api/tasks", 500)
    assert report(studio, "--html", page) == 1
    assert "Label Studio failed" in capsys.readouterr().err
    assert page.read_text() == "the old one"
    assert list(tmp_path.iterdir()) == [page]


def test_nothing_is_written_to_label_studio(studio: StandInStudio, tmp_path: Path) -> None:
    corrected(studio, CAR)
    assert report(studio, "--html", tmp_path / "page.html") == 0
    assert {method for method, _ in studio.seen} == {"GET"}
