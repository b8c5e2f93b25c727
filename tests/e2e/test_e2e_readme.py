"""The README's steps, on a drawn scene.

The picture of an overlay in the README is artifacts/street.jpg.overlay.png of this test, kept as
docs/pictures/overlay.jpg.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from backend_server import BackendServer, command_path
from drawn_scene import draw_scene
from studio_api import LabelStudio
from studio_browser import StudioBrowser

THINGS = {"stop sign", "clock", "traffic light"}


def test_from_a_model_to_pre_annotations(
    model: Path,
    api: LabelStudio,
    backend: BackendServer,
    browser: StudioBrowser,
    artifacts: Path,
    tmp_path: Path,
) -> None:
    photo = tmp_path / "street.jpg"
    photo.write_bytes(draw_scene())
    predicted = [command_path("labelvino"), "predict", photo, "--model", model, "--out", artifacts]
    subprocess.run([*predicted, "--score-threshold", "0.4"], check=True, timeout=120)
    printed = subprocess.run(
        [command_path("labelvino"), "label-config", "--model", model, "--control", "polygon"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    # Of the model's 80 labels, those that fit on a picture.
    kept = [line for line in printed.splitlines() if "<Label " not in line or _shown(line)]
    project = api.create_project("Street scenes", "\n".join(kept))
    (task,) = api.upload(project, [("street.jpg", photo.read_bytes())])
    api.connect_backend(project, backend.url)
    api.retrieve_predictions(project, [task])
    shown = browser.open_task(project, task)
    browser.screenshot("label-studio")
    assert {label for region in shown for label in region.labels} >= THINGS


def _shown(line: str) -> bool:
    return any(f'value="{name}"' in line for name in (*THINGS, "kite", "sports ball", "person"))
