"""A stand-in Label Studio with corrected tasks, and a toy model whose best thresholds are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bulk_parts import png, settings_for
from stand_in_studio import StandInStudio
from toy_model import save_toy_model, toy_contract

from backend.settings import Settings
from tests.corrected import annotation

CONFIG = """<View><Image name="img" value="$image"/>
<RectangleLabels name="box" toName="img"><Label value="person"/><Label value="car"/>
</RectangleLabels></View>"""
CREATED, UID = "2026-11-21T00:08:00.900499Z", "1.1795219680"

PERSON, CAR = ((5.0, 5.0, 45.0, 35.0), 0.3, 0), ((50.0, 20.0, 90.0, 50.0), 0.7, 1)
"""In every image: a person that the threshold of 0.5 hides, and a car that is none."""


def toy(folder: Path, person: str = "person") -> Path:
    """`person`: what the model calls one."""
    path = folder / "toy.xml"
    contract = toy_contract((person, "car", "traffic light"))
    return path if path.exists() else save_toy_model(path, [CAR, PERSON], contract)


def person(number: int) -> dict[str, Any]:
    """A rectangle that a person drew around the person, 100 x 60 pixels."""
    value = {"x": 5, "y": 100 * 5 / 60, "width": 40, "height": 50, "rotation": 0}
    return {
        "id": f"p{number}", "type": "rectanglelabels", "from_name": "box", "to_name": "img",
        "original_width": 100, "original_height": 60, "image_rotation": 0, "origin": "manual",
        "value": {**value, "rectanglelabels": ["person"]},
    }  # fmt: skip


def corrected(tasks: int = 80) -> StandInStudio:
    """In each task the person was drawn, and there is no car."""
    studio = StandInStudio(CONFIG, png())
    studio.project["created_at"] = CREATED
    for number in studio.add_tasks(tasks):
        studio.annotations[number] = [annotation(number, person(number))]
    return studio


def site_settings(studio: StandInStudio, folder: Path, **given: Any) -> Settings:
    options = {"score_threshold": None, "state_dir": folder / "state", **given}
    return settings_for(studio, toy(folder), **options)
