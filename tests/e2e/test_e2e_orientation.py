"""A photo that its EXIF tag turns stands upright, and its regions with it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from backend_server import BackendServer
from conftest import MakeProject
from expected_paint import overlap, region_mask, union
from PIL import Image
from studio_api import LabelStudio
from studio_browser import StudioBrowser

CONFIG = """<View><Image name="image" value="$image"/>
<PolygonLabels name="outline" toName="image"><Label value="elephant"/></PolygonLabels>
<BrushLabels name="mask" toName="image"><Label value="elephant"/></BrushLabels></View>"""

ORIENTATION_TAG = 0x0112
TURN_RIGHT_TO_SEE = 6


def encode(photo: Image.Image, orientation: int | None = None) -> bytes:
    exif = Image.Exif()
    if orientation is not None:
        exif[ORIENTATION_TAG] = orientation
    written = io.BytesIO()
    photo.save(written, "JPEG", quality=97, subsampling=0, exif=exif)
    return written.getvalue()


def test_an_exif_rotated_photo_stands_upright(
    api: LabelStudio,
    backend: BackendServer,
    browser: StudioBrowser,
    make_project: MakeProject,
    photos_dir: Path,
) -> None:
    with Image.open(photos_dir / "000000519208.jpg") as opened:
        upright = opened.convert("RGB")
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    project = make_project(CONFIG)
    photos = [
        ("upright.jpg", encode(upright)),
        ("turned.jpg", encode(lying, orientation=TURN_RIGHT_TO_SEE)),
    ]
    tasks = api.upload(project, photos)
    api.connect_backend(project, backend.url)
    api.retrieve_predictions(project, tasks)
    results = [api.predictions(task)[0]["result"] for task in tasks]
    for result in results:
        sizes = {(item["original_width"], item["original_height"]) for item in result}
        assert sizes == {upright.size}
    for name in ("outline", "mask"):
        there, here = (
            max((i for i in result if i["from_name"] == name), key=lambda item: item["score"])
            for result in results
        )
        assert overlap(region_mask(here), region_mask(there)) > 0.9
        assert np.isclose(here["score"], there["score"], atol=0.05)

    # The page turns the photo too; a brush of the lying size would be stripes there.
    browser.open_task(project, tasks[1])
    assert browser.photo_size() == upright.size
    brushes = [item for item in results[1] if item["from_name"] == "mask"]
    assert browser.painted("brushregion").misplaced(union(brushes)) < 0.01
    browser.show_all()
    browser.screenshot("exif")
