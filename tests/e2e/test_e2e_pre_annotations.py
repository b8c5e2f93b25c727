"""The main job: photos in, regions in Label Studio, seen in its own page, submitted."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from backend_server import BackendServer
from conftest import MakeProject
from expected_paint import region_mask, union
from studio_api import LabelStudio, Project
from studio_browser import ShownRegion, StudioBrowser
from studio_server import StudioServer

UPLOADED = ("000000261888.jpg", "000000434204.jpg")
LOCAL = ("000000119828.jpg", "000000519208.jpg")

# "Person" is the model's "person" by the normalised name.
NAMES = ("Person", "car", "bicycle", "cat", "laptop", "horse", "elephant")
LABELS = "".join(f'<Label value="{name}"/>' for name in NAMES)
LABELLED_TOOLS = f"""<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image">{LABELS}</PolygonLabels>
<BrushLabels name="mask" toName="image">{LABELS}</BrushLabels>
<RectangleLabels name="box" toName="image">{LABELS}</RectangleLabels></View>"""
PAIRED_TOOLS = f"""<View><Image name="image" value="$image"/>
<Labels name="kind" toName="image">{LABELS}</Labels>
<Polygon name="outline" toName="image"/><Brush name="mask" toName="image"/>
<Rectangle name="box" toName="image"/></View>"""

REGION_TYPES = {"outline": "polygonregion", "mask": "brushregion", "box": "rectangleregion"}


class Annotated:
    """A project whose tasks have got their predictions."""

    def __init__(
        self, api: LabelStudio, project: Project, backend: BackendServer, tasks: list[int]
    ) -> None:
        self.project = project
        self.tasks = tasks
        api.connect_backend(project, backend.url)
        api.retrieve_predictions(project, tasks)
        stored = [api.predictions(task) for task in tasks]
        assert [len(found) for found in stored] == [1] * len(tasks)
        self.predictions: dict[int, dict[str, Any]] = {
            task: found[0] for task, found in zip(tasks, stored, strict=True)
        }

    def tools(self, task: int) -> dict[str, list[dict[str, Any]]]:
        """The stored regions of a task by the name of the tool that has drawn them."""
        result = self.predictions[task]["result"]
        return {
            name: [item for item in result if item["from_name"] == name] for name in REGION_TYPES
        }


def local_tasks(
    api: LabelStudio, project: Project, studio: StudioServer, photos: Path
) -> list[int]:
    folder = studio.files / f"project-{project.id}"
    folder.mkdir()
    for name in LOCAL:
        shutil.copy(photos / name, folder / name)
    api.add_local_files(project, folder)
    return api.import_tasks(
        project,
        [{"image": f"/data/local-files/?d=project-{project.id}/{name}"} for name in LOCAL],
    )


@pytest.fixture(params=["labelled tools", "tools paired with Labels"])
def annotated(
    request: pytest.FixtureRequest,
    api: LabelStudio,
    studio: StudioServer,
    backend: BackendServer,
    make_project: MakeProject,
    photos_dir: Path,
) -> Annotated:
    config = LABELLED_TOOLS if request.param == "labelled tools" else PAIRED_TOOLS
    project = make_project(config)
    tasks = api.upload(project, [(name, (photos_dir / name).read_bytes()) for name in UPLOADED])
    tasks += local_tasks(api, project, studio, photos_dir)
    return Annotated(api, project, backend, tasks)


def kinds(regions: list[ShownRegion]) -> Counter[str]:
    return Counter(region.type for region in regions)


def geometry(item: Mapping[str, Any]) -> object:
    """The comparable part of a result's value; a brush by its pixels: the page re-encodes it."""
    value = item["value"]
    if "rle" in value:
        return region_mask(item).tobytes()
    numbers = value.get("points") or [[value[name] for name in ("x", "y", "width", "height")]]
    return [[round(number, 3) for number in point] for point in numbers]


def key(item: Mapping[str, Any]) -> tuple[str, str, str]:
    return item["id"], item["from_name"], item["type"]


def test_predictions_stand_in_label_studio(
    annotated: Annotated, api: LabelStudio, browser: StudioBrowser, request: pytest.FixtureRequest
) -> None:
    # By the API: each photo has all three kinds, sized as displayed, with a label of the config.
    for task in annotated.tasks:
        for name, items in annotated.tools(task).items():
            assert items, f"task {task} has no region of {name}"
            assert all(0 < item["score"] <= 1 for item in items)
    uploaded, local = annotated.tasks[0], annotated.tasks[-2]

    # In the page: the same regions, drawn where the API says, each with its label.
    for task in (local, uploaded):
        prediction = annotated.predictions[task]
        shown = browser.open_task(annotated.project, task)
        assert {region.id for region in shown} == {item["id"] for item in prediction["result"]}
        tools = annotated.tools(task)
        assert kinds(shown) == Counter(
            {REGION_TYPES[name]: len(items) for name, items in tools.items()}
        )
        assert all(len(region.labels) == 1 for region in shown)
        first = prediction["result"][0]
        assert browser.photo_size() == (first["original_width"], first["original_height"])
        for name, items in tools.items():
            wrong = browser.painted(REGION_TYPES[name]).misplaced(union(items))
            assert wrong < 0.01, f"{wrong:.1%} of {name} in task {task} is drawn elsewhere"
        browser.show_all()
        where = "paired" if "paired" in request.node.name else "labelled"
        browser.screenshot(f"{where}-{'local' if task == local else 'uploaded'}")

    # Submitted: an annotation with the same regions, which remembers where it came from.
    browser.submit()
    (annotation,) = api.annotations(uploaded)
    prediction = annotated.predictions[uploaded]
    assert annotation["parent_prediction"] == prediction["id"]
    assert {item["origin"] for item in annotation["result"]} == {"prediction"}
    sent = {key(item): item for item in prediction["result"]}
    kept = {key(item): item for item in annotation["result"]}
    assert kept.keys() == sent.keys()
    for name, item in kept.items():
        assert geometry(item) == geometry(sent[name])
        assert item["score"] == pytest.approx(sent[name]["score"])
    assert browser.blocked == []


def test_a_second_retrieval_adds_nothing(
    api: LabelStudio, backend: BackendServer, make_project: MakeProject, photos_dir: Path
) -> None:
    project = make_project(LABELLED_TOOLS)
    tasks = api.upload(project, [(name, (photos_dir / name).read_bytes()) for name in UPLOADED])
    first = Annotated(api, project, backend, tasks)
    api.retrieve_predictions(project, tasks)
    again = {task: api.predictions(task) for task in tasks}
    assert {task: [found["id"] for found in stored] for task, stored in again.items()} == {
        task: [stored["id"]] for task, stored in first.predictions.items()
    }
