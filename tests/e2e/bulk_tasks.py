"""Projects with many tasks that share a few uploaded images."""

from __future__ import annotations

from collections import Counter

from studio_api import LabelStudio, Project

from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import draw_scene

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="person"/><Label value="umbrella"/>
<Label value="kite"/><Label value="sports ball"/></PolygonLabels></View>"""
IMAGES = 4


def fill(api: LabelStudio, project: Project, tasks: int) -> list[int]:
    """Give the project so many tasks; gives their ids."""
    images = [(f"{n}.jpg", encode_jpeg(draw_scene(n, 480, 320))) for n in range(IMAGES)]
    uploaded = api.upload(project, images[: min(tasks, IMAGES)])
    addresses = [task["data"]["image"] for task in api.tasks(project)]
    more = [{"image": addresses[n % IMAGES]} for n in range(tasks - len(uploaded))]
    return uploaded + (api.import_tasks(project, more) if more else [])


def prediction_counts(api: LabelStudio, project: Project) -> Counter[int]:
    """How many tasks have how many predictions."""
    return Counter(int(task["total_predictions"]) for task in api.tasks(project))
