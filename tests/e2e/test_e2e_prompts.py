"""Smart tools in the real browser: a click or a box on the photo, and a region appears."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from backend_server import BackendServer
from conftest import MakeBackend
from studio_api import LabelStudio, Project
from studio_browser import StudioBrowser

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, Instance, draw_scene
from backend.labelstudio.region_masks import region_mask

CONFIG = """<View><Image name="image" value="$image"/>
<KeyPointLabels name="point" toName="image" smart="true"><Label value="{label}"/></KeyPointLabels>
<RectangleLabels name="box" toName="image" smart="true" smartOnly="true">
<Label value="{label}"/></RectangleLabels>
<PolygonLabels name="outline" toName="image" model_score_threshold="1">
<Label value="{label}"/></PolygonLabels></View>"""  # no prediction is in the way of a click
SCENE = draw_scene(FIRST_UNSEEN_SEED + 4, 720, 480)
THING = max(SCENE.instances, key=lambda thing: int(thing.mask.sum()))

Task = tuple[Project, int]


@pytest.fixture(scope="module")
def demo_backend(start_backend: MakeBackend) -> BackendServer:
    return start_backend("--model", str(MODEL_PATH))


@pytest.fixture
def task(api: LabelStudio, demo_backend: BackendServer, request: pytest.FixtureRequest) -> Task:
    project = api.create_project(request.node.name, CONFIG.format(label=THING.name))
    (task,) = api.upload(project, [("scene.jpg", encode_jpeg(SCENE))])
    made = api.connect_backend(project, demo_backend.url)
    fields = {"project": project.id, "url": demo_backend.url, "is_interactive": True}
    api.call("PATCH", f"/api/ml/{made}", json=fields)
    return project, task


def click(browser: StudioBrowser, thing: Instance) -> None:
    rows, columns = np.nonzero(thing.mask)
    middle = np.argmin((rows - rows.mean()) ** 2 + (columns - columns.mean()) ** 2)
    browser.pick_smart_tool("key-point-tool", thing.name, 0)
    browser.click_photo(float(columns[middle]), float(rows[middle]))


def drag(browser: StudioBrowser, thing: Instance) -> None:
    browser.pick_smart_tool("rectangle-tool", thing.name, 1)
    browser.drag_photo(*thing.box_xyxy_px)


@pytest.mark.parametrize("prompt", [click, drag], ids=["click", "box"])
def test_a_region_appears_where_somebody_points(
    api: LabelStudio,
    prompt: Callable[[StudioBrowser, Instance], None],
    task: Task,
    browser: StudioBrowser,
) -> None:
    browser.open_empty_task(*task)
    prompt(browser, THING)
    shown = browser.suggestions()
    browser.screenshot(f"prompt-{prompt.__name__}")
    assert shown == ["polygonregion"]
    browser.accept_suggestions()
    browser.submit()
    (annotation,) = api.annotations(task[1])
    outlines = [r for r in annotation["result"] if r["type"] == "polygonlabels"]
    (outline,) = outlines
    assert outline["value"]["polygonlabels"] == [THING.name]
    mask = region_mask(outline, outline["original_width"], outline["original_height"])
    assert mask is not None and mask.shape == THING.mask.shape
    assert (mask & THING.mask).sum() / (mask | THING.mask).sum() > 0.5
