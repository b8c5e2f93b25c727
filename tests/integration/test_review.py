"""`labelvino review`: a stand-in Label Studio, and a model that sees the same everywhere."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk_parts import CONFIG, INSTANCES, png, toy
from corrected import annotation
from PIL import Image
from stand_in_studio import Row, StandInStudio, running

from backend.cli import cli
from backend.config_plan import ConfigPlanner
from backend.corrections.review.fields import FIELDS
from backend.runtime.command_line import run
from backend.runtime.engine import load_contract, model_digest
from backend.settings import load_settings
from backend.tuned.access import open_tuned_store
from backend.tuned.record import TunedRecord

# The model sees a person at 5, 5 to 45, 35 (0.9) and a car at 50, 20 to 90, 50 (0.8).
(PERSON, _, _), (CAR, _, _) = INSTANCES


pytestmark = pytest.mark.usefixtures("with_token")


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(StandInStudio(CONFIG, png())) as found:
        yield found


def drawn(region_id: str, box: tuple[float, float, float, float], label: str) -> Row:
    x1, y1, x2, y2 = box
    points = [[x, y / 60 * 100] for x, y in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))]
    return {
        "id": region_id, "type": "polygonlabels", "from_name": "outline", "to_name": "img",
        "original_width": 100, "original_height": 60, "image_rotation": 0,
        "value": {"points": points, "closed": True, "polygonlabels": [label]},
    }  # fmt: skip


def annotate(studio: StandInStudio, *result: Row) -> int:
    (task_id,) = studio.add_tasks(1)
    studio.annotations[task_id] = [annotation(task_id, *result)]
    return task_id


def good(studio: StandInStudio) -> int:
    return annotate(studio, drawn("p", PERSON, "person"), drawn("c", CAR, "car"))


def review(studio: StandInStudio, folder: Path, *more: object) -> int:
    toy(folder)
    wanted = ["review", "--project", "1", "--label-studio-url", studio.url, "--model",
              folder / "toy.xml", "--device", "CPU", *more]  # fmt: skip
    try:
        return run(cli, "labelvino", [str(each) for each in wanted])
    except SystemExit as end:
        return int(str(end.code))


@pytest.fixture
def faulty(studio: StandInStudio) -> dict[str, int]:
    """Six good tasks and one with each fault."""
    for _ in range(6):
        good(studio)
    return {
        "missing": annotate(studio, drawn("p", PERSON, "person")),
        "mislabelled": annotate(studio, drawn("p", PERSON, "car"), drawn("c", CAR, "car")),
        "spurious": annotate(
            studio, drawn("p", PERSON, "person"), drawn("c", CAR, "car"),
            drawn("x", (60.0, 2.0, 90.0, 12.0), "person"),
        ),
    }  # fmt: skip


def test_a_project_without_annotations(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.add_tasks(2)
    assert review(studio, tmp_path, "--json", "--write", "--sheets", tmp_path / "sheets") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["tasks"], said["findings"]) == (0, [])
    assert studio.calls("PATCH", "") == 0
    assert list((tmp_path / "sheets").iterdir()) == []


def test_each_fault_is_found_in_its_task(
    studio: StandInStudio,
    faulty: dict[str, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert review(studio, tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["tasks"], said["instances"], said["instances_judged"]) == (9, 18, 18)
    assert said["counts"] == {"missing": 1, "spurious": 1, "mislabelled": 1}
    found = {each["kind"]: each for each in said["findings"]}
    assert {kind: each["task"] for kind, each in found.items()} == faulty
    assert found["missing"]["confidence"] == pytest.approx(0.8, abs=0.01)
    assert found["missing"]["model_label"] == "car"
    assert found["missing"]["box_xyxy_px"] == list(CAR)
    assert found["mislabelled"]["label"] == "car"
    assert found["mislabelled"]["model_label"] == "person"
    assert found["mislabelled"]["confidence"] == pytest.approx(0.9, abs=0.01)
    assert found["spurious"]["region_ids"] == ["x"]
    assert found["spurious"]["confidence"] > 0.7  # it sees 17 of 18
    assert [each["confidence"] for each in said["findings"]] == sorted(
        (each["confidence"] for each in said["findings"]), reverse=True
    )
    assert studio.calls("PATCH", "") == 0


def test_a_table_of_each_kind(
    studio: StandInStudio,
    faulty: dict[str, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert review(studio, tmp_path) == 0
    said = capsys.readouterr()
    titles = [line.strip() for line in said.out.splitlines() if line.startswith(("mis", "spur"))]
    assert titles == [
        "missing: 1", "spurious: 1", "mislabelled: 1",
    ]  # fmt: skip
    assert "person 0.90" in said.out
    assert "9 tasks with 18 instances" in said.err
    assert review(studio, tmp_path, "--min-confidence", 0.85) == 0
    assert "mislabelled: 1" in (out := capsys.readouterr().out)
    assert "missing" not in out


def test_written_fields_leave_all_else_and_go_again(
    studio: StandInStudio,
    faulty: dict[str, int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = copy.deepcopy(studio.tasks)
    studio.tasks[1]["note"] = before[1]["note"] = {"of": ["somebody"]}
    annotations = copy.deepcopy(studio.annotations)
    assert review(studio, tmp_path, "--write") == 0
    assert "9 tasks changed" in capsys.readouterr().err
    fields = {i: [task.get(name) for name in FIELDS] for i, task in studio.tasks.items()}
    assert fields[1] == [0.0, 0, 0, 0]
    assert fields[faulty["missing"]][1:] == [1, 0, 0]
    assert fields[faulty["spurious"]][1:] == [0, 1, 0]
    assert fields[faulty["mislabelled"]] == [pytest.approx(0.9, abs=0.01), 0, 0, 1]
    calls = studio.calls("PATCH", "")
    assert review(studio, tmp_path, "--write") == 0
    assert "0 tasks changed" in capsys.readouterr().err
    assert studio.calls("PATCH", "") == calls == 9
    assert review(studio, tmp_path, "--clear") == 0
    assert "from 9 tasks" in capsys.readouterr().err
    assert studio.tasks == before
    assert studio.annotations == annotations
    assert review(studio, tmp_path, "--clear") == 0
    assert "from 0 tasks" in capsys.readouterr().err


def test_what_somebody_changes_meanwhile_is_kept(studio: StandInStudio, tmp_path: Path) -> None:
    task_id = good(studio)

    def change_after_the_first_look(method: str, path: str) -> None:
        if path.startswith("/data/"):
            studio.tasks[task_id]["note"] = "new"

    studio.before = change_after_the_first_look
    assert review(studio, tmp_path, "--write") == 0
    assert studio.tasks[task_id]["note"] == "new"
    assert studio.tasks[task_id]["labelvino_review"] == 0


def test_a_task_whose_image_cannot_be_had(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, exchanged, task_id = (good(studio) for _ in range(3))
    studio.images[f"{broken}.png"] = b"no image"
    studio.images[f"{exchanged}.png"] = png(120, 60)
    assert review(studio, tmp_path, "--write") == 1
    said = capsys.readouterr().err
    assert f"task {broken}: failed: the file is not an image" in said
    assert f"task {exchanged}: failed: the image has 120x60 pixels" in said
    assert [i for i, task in studio.tasks.items() if "labelvino_review" in task] == [task_id]


SEEN, ANNOTATED = (255, 140, 0), (0, 170, 255)


def count(sheet: np.ndarray, colour: tuple[int, int, int]) -> int:
    return int((sheet == colour).all(axis=2).sum())


def test_each_image_of_a_task_is_looked_at(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.project["label_config"] = CONFIG.replace('value="$image"', 'valueList="$pages"')
    second = {"item_index": 1}
    task_id = annotate(
        studio, drawn("p", PERSON, "person"), drawn("c", CAR, "car"),
        drawn("p2", PERSON, "person") | second,
    )  # fmt: skip
    studio.tasks[task_id] = {"pages": ["/data/upload/a.png", "/data/upload/b.png"]}
    assert review(studio, tmp_path, "--json", "--sheets", tmp_path / "sheets") == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["kind"], finding["item_index"]) == ("missing", 1)
    assert finding["model_label"] == "car"
    assert count(sheets(tmp_path / "sheets")["review-car-1.png"], SEEN) > 300


def sheets(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in folder.iterdir()}


def test_sheets_by_label(studio: StandInStudio, faulty: dict[str, int], tmp_path: Path) -> None:
    folder = tmp_path / "sheets"
    folder.mkdir()
    (folder / "review-old-1.png").write_bytes(png())
    (folder / "mine.png").write_bytes(png())
    assert review(studio, tmp_path, "--sheets", folder) == 0
    found = sheets(folder)
    assert sorted(found) == ["mine.png", "review-car-1.png", "review-person-1.png"]
    for label in ("car", "person"):
        assert count(found[f"review-{label}-1.png"], ANNOTATED) > 300
    # The missing car and the person; where it sees nothing, its colour stands in the legend only.
    assert count(found["review-car-1.png"], SEEN) > 300
    assert count(found["review-person-1.png"], SEEN) < 150


def test_wrong_use(studio: StandInStudio, tmp_path: Path, capsys: Any) -> None:
    assert review(studio, tmp_path, "--clear", "--write") == 2
    assert review(studio, tmp_path, "--min-confidence", 0) == 2
    assert studio.seen == []


def test_the_version_in_force_is_told(
    studio: StandInStudio,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the thresholds that were tuned for the project."""
    monkeypatch.setenv("LABELVINO_STATE_DIR", str(tmp_path / "state"))
    studio.project["created_at"] = "2026-11-21T00:08:00.900499Z"
    good(studio)
    review(studio, tmp_path, "--json")
    before = json.loads(capsys.readouterr().out)["model_version"]
    path = tmp_path / "toy.xml"
    digest = model_digest(path, load_contract(path))
    uid = "1.1795219680"
    record = TunedRecord(uid, digest, {"person": 0.3}, 50, "effort", "2026-11-21T08:00:00+00:00")
    store = open_tuned_store(load_settings())
    store.put(uid, digest, record.to_bytes())
    review(studio, tmp_path, "--json")
    after = json.loads(capsys.readouterr().out)["model_version"]
    plan = ConfigPlanner(load_contract(path), digest).plan(CONFIG, {"person": 0.3})
    assert before != after == plan.model_version
