"""The documentation's pictures of `labelvino review`, on drawn scenes whose annotations are
faulty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Playwright
from queue_processes import BulkCommands
from studio_api import LabelStudio, Project
from studio_browser import StudioBrowser
from studio_server import LEGACY_TOKEN, StudioServer

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import CATEGORIES, FIRST_UNSEEN_SEED, Instance, Scene, draw_scene
from backend.labelstudio.brush_rle import encode_brush
from backend.labelstudio.config_writer import write_label_config
from backend.runtime.detections import MaskCrop
from backend.runtime.overlay import label_colours

_SCENES = 40
_LABEL = "umbrella"
_LABELS = tuple(CATEGORIES.values())
_CONFIG = write_label_config(_LABELS, ("brush",), label_colours(_LABELS))
_WIDTH, _HEIGHT = 1280, 560
_SHOWN = ("labelvino_review", "labelvino_missing", "labelvino_spurious", "labelvino_mislabelled")
Row = dict[str, Any]


def take_review_pictures(playwright: Playwright, folder: Path) -> tuple[Path, Path]:
    """PNGs in `folder`: the sheet of umbrellas, and the Data Manager with the review's columns."""
    studio = StudioServer(folder, folder)
    api = LabelStudio(studio.url, f"Token {LEGACY_TOKEN}")
    env = {"LABEL_STUDIO_URL": studio.url, "LABEL_STUDIO_API_KEY": LEGACY_TOKEN}
    commands = BulkCommands(folder, env)
    browser = StudioBrowser(playwright, studio.url, folder / "profile", folder)
    try:
        project = _annotated_project(api)
        given = ["review", "--project", str(project.id), "--model", str(MODEL_PATH), "--write"]
        ran = commands.run("review", *given, "--sheets", str(folder / "sheets"))
        if ran.ended() != 0:
            raise RuntimeError(f"the review of the pictures failed: {ran.talk}")
        table = _data_manager(api, browser, project, folder)
    finally:
        browser.close()
        commands.close()
        api.close()
        studio.stop()
    return folder / "sheets" / f"review-{_LABEL}-1.png", table


def _annotated_project(api: LabelStudio) -> Project:
    project = api.create_project("Beach and table", _CONFIG)
    scenes = [draw_scene(FIRST_UNSEEN_SEED + number) for number in range(1, _SCENES + 1)]
    pictures = [(f"scene-{n:02}.jpg", encode_jpeg(scene)) for n, scene in enumerate(scenes)]
    for number, (task_id, scene) in enumerate(
        zip(api.upload(project, pictures), scenes, strict=True), start=1
    ):
        body = {"result": _faulty(number, scene), "lead_time": 40.0}
        api.call("POST", f"/api/tasks/{task_id}/annotations/", json=body)
    return project


def _faulty(number: int, scene: Scene) -> list[Row]:
    """The scene's truth with a fault: a kite is called umbrella, an umbrella invented or lost."""
    result = []
    for i, instance in enumerate(scene.instances):
        mistaken = number % 3 == 0 and instance.name == "kite"
        if number % 3 == 2 and instance.name == _LABEL:
            continue
        result.append(_region(f"r{i}", instance, _LABEL if mistaken else instance.name, scene))
        if number % 3 == 1 and instance.name == _LABEL:
            result.append(_region(f"r{i}-twice", instance, _LABEL, scene, mirrored=True))
    return result


def _region(
    region_id: str, instance: Instance, label: str, scene: Scene, *, mirrored: bool = False
) -> Row:
    height, width = scene.pixels.shape[:2]
    mask = instance.mask[::-1, ::-1] if mirrored else instance.mask
    rle = encode_brush(MaskCrop(0, 0, mask.astype(bool)), width, height)
    return {
        "id": region_id, "type": "brushlabels", "from_name": "brush", "to_name": "image",
        "original_width": width, "original_height": height, "image_rotation": 0,
        "value": {"format": "rle", "rle": rle, "brushlabels": [label]},
    }  # fmt: skip


def _data_manager(api: LabelStudio, browser: StudioBrowser, project: Project, folder: Path) -> Path:
    """A tab that is sorted by the review, with its columns."""
    columns = api.call("GET", "/api/dm/columns/", params={"project": project.id})["columns"]
    names = [f"tasks:{'data.' if c.get('parent') == 'data' else ''}{c['id']}" for c in columns]
    shown = {"tasks:id", "tasks:data.image", *(f"tasks:data.{name}" for name in _SHOWN)}
    hidden = [name for name in names if name not in shown]
    data = {
        "title": "Review", "type": "list", "target": "tasks",
        "ordering": [f"-tasks:data.{_SHOWN[0]}"],
        "hiddenColumns": {"explore": hidden, "labeling": hidden},
        "columnsDisplayType": {f"tasks:data.{name}": "Number" for name in _SHOWN},
    }  # fmt: skip
    body = {"project": project.id, "data": data}
    tab = api.call("POST", "/api/dm/views/", json=body)["id"]
    page = browser.page
    page.set_viewport_size({"width": _WIDTH, "height": _HEIGHT})
    page.goto(f"{api.url}/projects/{project.id}/data?tab={tab}")
    page.wait_for_selector("[data-testid=table-row], .dm-table__row, .dm-row", timeout=20_000)
    page.wait_for_timeout(2500)
    picture = folder / "review-tasks.png"
    page.screenshot(path=picture)
    return picture
