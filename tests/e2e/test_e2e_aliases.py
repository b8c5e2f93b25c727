"""Tasks that name the same Label Studio otherwise, as with Docker."""

from __future__ import annotations

from pathlib import Path

from conftest import MakeBackend, MakeProject
from studio_api import LabelStudio
from studio_server import LEGACY_TOKEN

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="elephant"/></PolygonLabels></View>"""
PHOTO = "000000519208.jpg"


def test_an_upload_under_another_name_of_label_studio(
    api: LabelStudio, start_backend: MakeBackend, make_project: MakeProject, photos_dir: Path
) -> None:
    backend = start_backend(LABELVINO_LABEL_STUDIO_ALIASES="label-studio.invalid:8080")
    project = make_project(CONFIG)
    api.upload(project, [(PHOTO, (photos_dir / PHOTO).read_bytes())])
    (uploaded,) = api.tasks(project)
    path = uploaded["data"]["image"]
    assert path.startswith("/data/upload/")
    known, unknown = api.import_tasks(
        project,
        [
            {"image": f"http://label-studio.invalid:8080{path}"},
            {"image": f"http://label-studio.invalid:9999{path}"},
        ],
    )
    api.connect_backend(project, backend.url)
    api.retrieve_predictions(project, [uploaded["id"], known, unknown])
    (expected,), (prediction,) = api.predictions(uploaded["id"]), api.predictions(known)
    assert prediction["result"] and prediction["result"] == expected["result"]
    assert api.predictions(unknown) == []
    assert "LABELVINO_LABEL_STUDIO_ALIASES" in backend.log_text()
    assert LEGACY_TOKEN not in backend.log_text()
