"""A project of the demo's scenes, pre-annotated by the real command and corrected by a script."""

from __future__ import annotations

from dataclasses import dataclass, field

from queue_processes import BulkCommands
from scripted_annotator import Log, Row, ScriptedAnnotator
from studio_api import LabelStudio, Project

from backend.bulk.selection import BLANK_VERSION
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import CATEGORIES, FIRST_UNSEEN_SEED, draw_scene
from backend.labelstudio.config_writer import write_label_config
from backend.runtime.overlay import label_colours

FIRST_SEED = FIRST_UNSEEN_SEED + 7000  # apart from those of other tests
OLD_VERSION = "older-model"
LABELS = tuple(CATEGORIES.values())
CONFIG = write_label_config(LABELS, ("polygon", "brush", "rectangle"), label_colours(LABELS))


@dataclass
class Corrected:
    """What was done: `log` of the annotator; tasks by how they were annotated."""

    version: str
    log: Log
    task_ids: list[int] = field(default_factory=list)
    blank: list[int] = field(default_factory=list)
    without_parent: list[int] = field(default_factory=list)
    of_old_version: list[int] = field(default_factory=list)


def make_corrected(
    api: LabelStudio, project: Project, commands: BulkCommands, scenes: int, width: int = 480
) -> Corrected:
    """Upload, pre-annotate, correct. One task is skipped; one has an annotation that was replaced;
    one does not say what it began with; some began with another model version."""
    pictures = [
        (f"scene-{n:02}.jpg", encode_jpeg(draw_scene(FIRST_SEED + n, width, width * 2 // 3)))
        for n in range(scenes)
    ]
    ids = api.upload(project, pictures)
    blank = ids[2::3]
    for task_id in blank:  # as `prelabel --leave-blank` marks them, by chance
        body = {"task": task_id, "model_version": BLANK_VERSION, "score": 0.0, "result": []}
        api.call("POST", "/api/predictions/", json=body)
    run = commands.prelabel("correct", project.id)
    assert run.ended() == 0, run.talk
    done = Corrected(str(run.answer["model_version"]), Log(), ids, blank)
    annotator = ScriptedAnnotator(api, LABELS)
    done.log = annotator.log
    predictions = {task_id: api.predictions(task_id)[0] for task_id in ids}
    with_regions = [i for i in ids if i not in done.blank and predictions[i]["result"]]
    skipped, replaced, alone, *_ = with_regions
    done.without_parent = [alone]
    done.of_old_version = with_regions[3:6]
    for task_id in done.of_old_version:
        body = {"task": task_id, "model_version": OLD_VERSION, "score": 0.5,
                "result": predictions[task_id]["result"]}  # fmt: skip
        predictions[task_id] = api.call("POST", "/api/predictions/", json=body)
    like = predictions[with_regions[0]]["result"]
    for number, task_id in enumerate(ids):
        if task_id == skipped:
            _skip(api, task_id)
        elif task_id in done.blank:
            parent = int(predictions[task_id]["id"])
            annotator.draw(task_id, like[: 1 + number % 3], 41.5 + number, parent)
        else:
            if task_id == replaced:
                annotator.submit(task_id, like, 500.0, None)
            annotator.correct(
                task_id,
                predictions[task_id],
                10.25 + number,
                only_keep=number % 4 == 0,
                add=2 if number % 4 == 3 else 0,
                says_parent=task_id != alone,
            )
    return done


def _skip(api: LabelStudio, task_id: int) -> None:
    body: Row = {"result": [], "was_cancelled": True, "lead_time": 900.0}
    api.call("POST", f"/api/tasks/{task_id}/annotations/", json=body)
