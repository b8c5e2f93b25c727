"""`labelvino label-config` writes what Label Studio takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from backend_server import BackendServer, command_path
from conftest import MakeProject
from studio_api import LabelStudio

TYPES = {"polygon": "polygonlabels", "brush": "brushlabels", "rectangle": "rectanglelabels"}


@pytest.mark.parametrize("control", TYPES)
def test_the_printed_config_makes_a_project_that_gets_predictions(
    control: str,
    model: Path,
    api: LabelStudio,
    backend: BackendServer,
    make_project: MakeProject,
    photos_dir: Path,
) -> None:
    printed = subprocess.run(
        [command_path("labelvino"), "label-config", "--model", model, "--control", control],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout
    project = make_project(printed)
    name = "000000434204.jpg"
    (task,) = api.upload(project, [(name, (photos_dir / name).read_bytes())])
    api.connect_backend(project, backend.url)
    api.retrieve_predictions(project, [task])
    (prediction,) = api.predictions(task)
    found = {label for item in prediction["result"] for label in item["value"][TYPES[control]]}
    assert {"person", "bicycle"} <= found
