"""Calibration with the images of a project, straight from Label Studio."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from conftest import MakeProject
from sdk import environment_python
from studio_api import LabelStudio
from studio_server import LEGACY_TOKEN, StudioServer

from backend.demo import MODEL_PATH
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, draw_scene
from backend.runtime.errors import ConversionError, FetchError
from converter.project_images import project_photos

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="kite"/></PolygonLabels></View>"""


def ignore(_done: int, _all: int) -> None:
    pass


@pytest.fixture
def signed_in(studio: StudioServer, monkeypatch: pytest.MonkeyPatch) -> StudioServer:
    monkeypatch.setenv("LABEL_STUDIO_URL", studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", LEGACY_TOKEN)
    return studio


def scenes(count: int) -> list[tuple[str, bytes]]:
    seeds = range(FIRST_UNSEEN_SEED + 3000, FIRST_UNSEEN_SEED + 3000 + count)
    return [(f"scene-{seed}.jpg", encode_jpeg(draw_scene(seed))) for seed in seeds]


def test_the_images_are_the_projects(
    signed_in: StudioServer, api: LabelStudio, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    with (
        pytest.raises(ConversionError, match="has no task"),
        project_photos(str(project.id), None, 10, ignore),
    ):
        pass
    uploaded = scenes(5)
    api.upload(project, uploaded)
    with project_photos(str(project.id), None, 10, ignore) as photos:
        folder = photos[0].parent
        assert {path.read_bytes() for path in photos} == {data for _, data in uploaded}
    assert not folder.exists()
    with project_photos(project.title, signed_in.url, 3, ignore) as photos:
        drawn = [path.name for path in photos]
    assert len(drawn) == 3
    with project_photos(project.title, signed_in.url, 3, ignore) as photos:
        assert [path.name for path in photos] == drawn


def test_an_image_that_cannot_be_fetched_names_its_task(
    signed_in: StudioServer, api: LabelStudio, make_project: MakeProject
) -> None:
    project = make_project(CONFIG)
    (task,) = api.import_tasks(project, [{"data": {"image": "/data/upload/0/gone.jpg"}}])
    with (
        pytest.raises(FetchError, match=f"task {task}: "),
        project_photos(str(project.id), None, 10, ignore),
    ):
        pass


def test_the_command(
    signed_in: StudioServer, api: LabelStudio, make_project: MakeProject, tmp_path: Path
) -> None:
    project = make_project(CONFIG)
    api.upload(project, scenes(12))
    python = environment_python("quantize", "LABELVINO_QUANTIZE_PYTHON")
    arguments = ["quantize", MODEL_PATH, "-o", tmp_path / "int8.xml", "--project", project.id]
    done = subprocess.run(
        [python, "-m", "converter.cli", *map(str, arguments), "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=280,
        env=os.environ | {"LABEL_STUDIO_API_KEY": LEGACY_TOKEN},
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["calibrated_on"], len(said["checked_on"])) == (9, 3)
    assert said["agreement"]["share"] >= 0.95
    assert LEGACY_TOKEN not in done.stdout
