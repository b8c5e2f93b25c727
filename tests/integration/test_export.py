"""`labelvino export`: annotations of a stand-in Label Studio as a COCO file."""

from __future__ import annotations

import contextlib
import io
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from corrected import annotation, brush, polygon, prediction
from plain_picture import plain_jpeg
from pycocotools.coco import COCO
from quantization.scene_set import write_scenes
from stand_in_studio import Row, StandInStudio, running

from backend.cli import cli
from backend.demo import MODEL_PATH
from backend.labelstudio.brush_rle import encode_brush
from backend.runtime.command_line import run
from backend.runtime.detections import MaskCrop
from backend.runtime.polygons import PolygonDetail, polygons
from converter.cli import run as run_converter

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="polygon" toName="image"><Label value="car"/><Label value="bus"/>
</PolygonLabels>
<BrushLabels name="brush" toName="image"><Label value="car"/></BrushLabels></View>"""
EXACT = PolygonDetail(overlap=1.0, max_points=10**9, min_area_px=0.0)


pytestmark = pytest.mark.usefixtures("with_token")


@pytest.fixture
def studio() -> Iterator[StandInStudio]:
    with running(StandInStudio(CONFIG, plain_jpeg(100, 50))) as found:
        yield found


def export(studio: StandInStudio, out: Path, *more: object) -> int:
    wanted = ["export", "--project", "1", "--label-studio-url", studio.url, "--coco", out]
    try:
        return run(cli, "labelvino", [str(each) for each in (*wanted, *more)])
    except SystemExit as end:
        return int(str(end.code))


def content(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "instances.json").read_bytes())
    return found


def annotate(studio: StandInStudio, *result: Row, **more: Any) -> int:
    """A new task with one annotation; gives its id."""
    (task_id,) = studio.add_tasks(1)
    studio.annotations[task_id] = [annotation(task_id, *result, **more)]
    return task_id


def test_a_project_without_annotations(studio: StandInStudio, tmp_path: Path) -> None:
    studio.add_tasks(2)
    assert export(studio, tmp_path / "new" / "out") == 0
    found = content(tmp_path / "new" / "out")
    assert (found["images"], found["annotations"]) == ([], [])
    assert found["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}]


def test_what_is_written_and_what_is_left_out(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = annotate(studio, polygon("a", 10, 20, 30, 10, "bus"), brush("b", 0, 0, 5, 4))
    annotate(studio, was_cancelled=True)
    studio.add_tasks(1)
    empty = annotate(studio)  # somebody saw that there is nothing
    odd = annotate(
        studio, polygon("c", 1, 1, 5, 5, label=None), polygon("d", 1, 1, 0, 0),
        polygon("e", 1, 1, 5, 5, "cat"), {**polygon("f", 1, 1, 5, 5), "value": {}},
        polygon("g", 1, 1, 5, 5, to_name="other"),
    )  # fmt: skip
    assert export(studio, tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["tasks"], said["images"], said["tasks_without_annotation"]) == (3, 3, 2)
    assert said["instances"] == {"bus": 1, "car": 1, "cat": 1}
    assert (said["regions_without_label"], said["regions_without_pixels"]) == (1, 1)
    assert [each["task"] for each in said["regions_not_read"]] == [odd, odd]
    assert said["notes"] == ["label 'cat' is not in the labelling config; it is category 3"]
    found = content(tmp_path)
    assert found["images"] == [
        {"id": i, "file_name": f"{t}-{t}.png", "width": 100, "height": 50, "task_id": t}
        for i, t in enumerate((one, empty, odd), start=1)
    ]
    assert [(a["id"], a["image_id"], a["category_id"]) for a in found["annotations"]] == [
        (1, 1, 2), (2, 1, 1), (3, 3, 3),
    ]  # fmt: skip
    assert not (tmp_path / "images").exists()
    assert studio.calls("GET", "/data/") == 1  # the size of the empty one


def test_of_several_annotations_the_latest_or_the_first(
    studio: StandInStudio, tmp_path: Path
) -> None:
    task_id = annotate(studio, polygon("a", 0, 0, 10, 10))
    rows = studio.annotations[task_id]
    rows.append(annotation(30, polygon("b", 0, 0, 20, 10)))
    rows.append(annotation(20, polygon("c", 0, 0, 30, 10)))
    rows.append(annotation(40, polygon("d", 0, 0, 40, 10), was_cancelled=True))
    for several, area in (("latest", 200), ("first", 100)):
        assert export(studio, tmp_path, "--several", several) == 0
        assert [a["area"] for a in content(tmp_path)["annotations"]] == [area]


def test_predictions_are_no_annotations(studio: StandInStudio, tmp_path: Path) -> None:
    task_id = annotate(studio, polygon("a", 0, 0, 10, 10), parent=7)
    studio.predictions[7] = prediction(7, polygon("z", 0, 0, 90, 40)) | {"task": task_id}
    assert export(studio, tmp_path) == 0
    assert [a["area"] for a in content(tmp_path)["annotations"]] == [100]


def test_an_image_that_cannot_be_had_costs_its_task(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = [annotate(studio, polygon("a", 0, 0, 10, 10)) for _ in range(3)]
    studio.images[f"{tasks[1]}.png"] = plain_jpeg(60, 50)
    studio.images[f"{tasks[2]}.png"] = b"no image"
    assert export(studio, tmp_path, "--images") == 1
    said = capsys.readouterr().err
    assert f"task {tasks[1]}: failed: the image and its regions are of different sizes" in said
    assert f"task {tasks[2]}: failed: the file is not an image" in said
    assert [each["task_id"] for each in content(tmp_path)["images"]] == [tasks[0]]
    assert [path.name for path in (tmp_path / "images").iterdir()] == [f"{tasks[0]}-1.png"]


def test_turned_images_have_the_size_that_is_displayed(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    studio.image = plain_jpeg(50, 100, orientation=6)
    annotate(studio, polygon("a", 0, 0, 10, 10))
    annotate(studio)
    assert export(studio, tmp_path, "--images") == 0
    assert {(i["width"], i["height"]) for i in content(tmp_path)["images"]} == {(100, 50)}
    assert "2 images are turned by their EXIF data" in capsys.readouterr().err


def test_several_images_in_a_task(studio: StandInStudio, tmp_path: Path) -> None:
    studio.project["label_config"] = CONFIG.replace('value="$image"', 'valueList="$pages"')
    task_id = annotate(studio, polygon("a", 0, 0, 10, 10, item_index=1))
    studio.tasks[task_id] = {"pages": ["/data/upload/x.png", "/data/upload/y.png"]}
    assert export(studio, tmp_path, "--images") == 0
    found = content(tmp_path)
    names = [each["file_name"] for each in found["images"]]
    assert names == [f"{task_id}.0-x.png", f"{task_id}.1-y.png"]
    assert [each["image_id"] for each in found["annotations"]] == [2]
    assert sorted(path.name for path in (tmp_path / "images").iterdir()) == names


def test_a_broken_off_export_leaves_the_one_of_before(
    studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(25):
        annotate(studio, polygon("a", 0, 0, 10, 10))
    assert export(studio, tmp_path) == 0
    before = (tmp_path / "instances.json").read_bytes()
    assert export(studio, tmp_path) == 0
    assert (tmp_path / "instances.json").read_bytes() == before
    annotate(studio, polygon("a", 0, 0, 10, 10))
    pages = 0

    def fail_later(_method: str, path: str) -> None:
        nonlocal pages
        pages += path == "/api/tasks/"
        if pages == 4:  # two counts, one page
            studio.fail("GET", "/api/tasks/", 403)

    studio.before = fail_later
    assert export(studio, tmp_path) == 1
    assert "Label Studio" in capsys.readouterr().err
    assert (tmp_path / "instances.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["instances.json"]


def test_a_label_studio_that_restarts_is_waited_for(
    studio: StandInStudio, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(25):
        annotate(studio, polygon("a", 0, 0, 10, 10))
    failed = []

    def fail_once(_method: str, path: str) -> None:
        if path == "/api/tasks/" and studio.calls("GET", path) == 4:  # two counts, one page
            failed.append(path)
            studio.fail("GET", "/api/tasks/", 502)

    studio.before = fail_once
    assert export(studio, tmp_path) == 0
    assert failed
    assert len(content(tmp_path)["images"]) == 25
    assert caplog.text.count("Asked again in") == 1


def test_a_stop_leaves_the_export_of_before(studio: StandInStudio, tmp_path: Path) -> None:
    """SIGTERM, as Docker sends it, while an image is being fetched."""
    annotate(studio, polygon("a", 0, 0, 10, 10))
    assert export(studio, tmp_path) == 0
    before = (tmp_path / "instances.json").read_bytes()
    annotate(studio, polygon("b", 0, 0, 20, 10))
    asked, answer = threading.Event(), threading.Event()

    def hold(_method: str, path: str) -> None:
        if path.startswith("/data/"):
            asked.set()
            answer.wait(30)

    studio.before = hold
    command = [Path(sys.executable).with_name("labelvino"), "export", "--project", "1",
               "--label-studio-url", studio.url, "--coco", tmp_path, "--images"]  # fmt: skip
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert asked.wait(30)
        process.send_signal(signal.SIGTERM)
        said = process.communicate(timeout=30)[1]
    finally:
        answer.set()
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert said.endswith("labelvino: interrupted\n")
    assert "Traceback" not in said
    assert (tmp_path / "instances.json").read_bytes() == before
    assert not list((tmp_path / "images").iterdir())


@pytest.fixture
def scenes(tmp_path: Path, studio: StandInStudio) -> COCO:
    """The truth of four scenes, annotated in the stand-in as polygons and brush masks in turns."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(write_scenes(tmp_path / "scenes", 60, 4)))
    names = {each["id"]: each["name"] for each in truth.dataset["categories"]}
    labels = "".join(f'<Label value="{name.upper()}"/>' for name in names.values())
    studio.project["label_config"] = (
        '<View><Image name="image" value="$image"/>'
        f'<PolygonLabels name="polygon" toName="image">{labels}</PolygonLabels>'
        f'<BrushLabels name="brush" toName="image">{labels}</BrushLabels></View>'
    )
    for image in truth.dataset["images"]:
        result = []
        for each in truth.imgToAnns[image["id"]]:
            label = names[each["category_id"]].upper()
            result += regions_of(truth.annToMask(each).astype(bool), each["id"], label)
        task_id = annotate(studio, *result)
        name = image["file_name"]
        studio.tasks[task_id] = {"image": f"/data/upload/1/{name}"}
        studio.images[name] = (tmp_path / "scenes" / name).read_bytes()
    return truth


def regions_of(mask: np.ndarray, number: int, label: str) -> list[Row]:
    height, width = mask.shape
    crop = MaskCrop(0, 0, mask)
    size = {"original_width": width, "original_height": height}
    if number % 2:
        value = {"format": "rle", "rle": encode_brush(crop, width, height), "brushlabels": [label]}
        return [brush(f"{number}", 0, 0, 1, 1) | size | {"value": value}]
    return [
        polygon(f"{number}-{part}", 0, 0, 1, 1)
        | size
        | {
            "value": {
                "points": (ring / (width, height) * 100).tolist(),
                "polygonlabels": [label],
            }
        }
        for part, ring in enumerate(polygons(crop, EXACT))
    ]


@pytest.mark.parametrize("style", ["as-drawn", "polygon", "rle"])
def test_pycocotools_reads_the_masks_that_were_annotated(
    scenes: COCO, studio: StandInStudio, tmp_path: Path, style: str
) -> None:
    out = tmp_path / "out"
    assert export(studio, out, "--segmentation", style, "--model", MODEL_PATH, "--images") == 0
    with contextlib.redirect_stdout(io.StringIO()):
        found = COCO(str(out / "instances.json"))
    assert len(found.anns) == len(scenes.anns) > 10
    assert found.cats == scenes.cats
    for one, other in zip(scenes.anns.values(), found.anns.values(), strict=True):
        assert np.array_equal(scenes.annToMask(one), found.annToMask(other))
        assert (one["category_id"], one["area"]) == (other["category_id"], other["area"])
        kind = {"rle": dict, "polygon": list}.get(style, dict if one["id"] % 2 else list)
        assert isinstance(other["segmentation"], kind)
    for image in found.dataset["images"]:
        name = image["file_name"].partition("-")[2]
        assert (out / "images" / image["file_name"]).read_bytes() == studio.images[name]


def test_compare_takes_the_export_as_it_is(
    scenes: COCO, studio: StandInStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And measures the same as with the truth that was annotated."""
    assert export(studio, tmp_path / "out", "--images", "--model", MODEL_PATH) == 0
    measured = []
    for truth in (tmp_path / "out" / "instances.json", tmp_path / "scenes" / "instances.json"):
        capsys.readouterr()
        wanted = ["compare", MODEL_PATH, MODEL_PATH, "--images", truth, "--annotations", truth]
        assert run_converter([*map(str, wanted), "--no-speed", "--json"]) == 0
        metrics = json.loads(capsys.readouterr().out)["accuracy"]["metrics"]
        measured.append({kind: metrics[kind]["a"] for kind in ("box", "mask", "boundary")})
    assert measured[0] == measured[1]
    assert measured[0]["mask"]["ap50"] > 0.5
