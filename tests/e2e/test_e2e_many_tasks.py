"""Several tasks and several projects: one failure or one neighbour harms no other."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from backend_server import BackendServer
from conftest import MakeProject
from studio_api import LabelStudio

OUTLINES = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image">
<Label value="person"/><Label value="car"/></PolygonLabels></View>"""
BOXES = """<View><Image name="photo" value="$image"/>
<RectangleLabels name="frame" toName="photo">
<Label value="Human" predicted_values="person"/></RectangleLabels></View>"""

PEOPLE = (
    "000000005001.jpg",
    "000000126107.jpg",
    "000000165518.jpg",
    "000000166918.jpg",
    "000000183709.jpg",
    "000000184324.jpg",
    "000000349184.jpg",
    "000000434204.jpg",
    "000000520707.jpg",
)


def test_one_corrupt_image_leaves_the_other_nine(
    api: LabelStudio, backend: BackendServer, make_project: MakeProject, photos_dir: Path
) -> None:
    project = make_project(OUTLINES)
    photos = [(name, (photos_dir / name).read_bytes()) for name in PEOPLE]
    photos.insert(4, ("corrupt.jpg", photos[0][1][:600] + b"no more of a photo"))
    tasks = api.upload(project, photos)
    corrupt = tasks[4]
    api.connect_backend(project, backend.url)
    for _ in range(2):  # the second time only the corrupt one is asked for again
        api.retrieve_predictions(project, tasks)
        counts = {task: len(api.predictions(task)) for task in tasks}
        assert counts == {task: int(task != corrupt) for task in tasks}
    reasons = [line for line in backend.log_text().splitlines() if str(corrupt) in line]
    assert any("task" in line and "WARNING" in line for line in reasons), reasons


def test_projects_with_different_configs_at_the_same_time(
    api: LabelStudio, backend: BackendServer, make_project: MakeProject, photos_dir: Path
) -> None:
    photos = [(name, (photos_dir / name).read_bytes()) for name in PEOPLE[:6]]
    projects = [make_project(OUTLINES), make_project(BOXES)]
    tasks = [api.upload(project, photos) for project in projects]
    for project in projects:
        api.connect_backend(project, backend.url)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(api.retrieve_predictions, projects, tasks))
    seen = []
    for mine in tasks:
        stored = [api.predictions(task) for task in mine]
        assert [len(found) for found in stored] == [1] * len(photos)
        seen.append(
            {
                (item["from_name"], item["to_name"], item["type"], *item["value"][item["type"]])
                for found in stored
                for item in found[0]["result"]
            }
        )
    assert seen[0] == {
        ("outline", "image", "polygonlabels", "person"),
        ("outline", "image", "polygonlabels", "car"),
    }
    assert seen[1] == {("frame", "photo", "rectanglelabels", "Human")}
