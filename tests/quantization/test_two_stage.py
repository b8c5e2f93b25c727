"""Why the scope matters: NNCF's own loses detections of a two-stage model, ours keeps them."""

from __future__ import annotations

from pathlib import Path

import cv2
import nncf
import numpy as np
import openvino as ov
import pytest
from two_stage_model import draw_scene, save_two_stage_model

from backend.runtime.detections import Detections
from backend.runtime.engine import Engine, load_contract, read_ir
from converter.calibration import Photos, photos_of, read_photo
from converter.nncf_run import load_nncf
from converter.quantization_check import Kept, detect_all, kept_of
from converter.quantize import QuantizeOptions, quantize

CALIBRATION, CHECK = 4, 6


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_two_stage_model(tmp_path_factory.mktemp("two-stage") / "parent.xml")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Photos:
    folder = tmp_path_factory.mktemp("scenes")
    for seed in range(CALIBRATION + CHECK):
        pixels = draw_scene(seed)
        assert cv2.imwrite(str(folder / f"scene-{seed}.png"), pixels[..., ::-1])
    found = photos_of(folder)
    return Photos(found[:CALIBRATION], found[CALIBRATION:])


@pytest.fixture(scope="module")
def before(parent: Path, photos: Photos) -> list[Detections]:
    return detections(parent, photos)


def detections(xml: Path, photos: Photos) -> list[Detections]:
    engine = Engine(xml, device="CPU", precision="f32")
    return detect_all(engine, photos.check, lambda _done, _all: None)


def test_the_model_is_well_behaved(before: list[Detections]) -> None:
    for found in before:
        assert len(found) == 12
        assert found.scores.min() > 0.7
        assert found.masks is not None
        assert min(mask.area for mask in found.masks) > 200


def test_the_defaults_lose_detections(
    parent: Path, photos: Photos, before: list[Detections], tmp_path: Path
) -> None:
    load_nncf()  # quiet
    data = nncf.Dataset(
        list(photos.calibration), lambda path: {"image": read_photo(path).pixels[np.newaxis]}
    )
    xml = tmp_path / "default.xml"
    ov.save_model(nncf.quantize(read_ir(parent), data, subset_size=CALIBRATION), xml)
    kept = kept_of(zip(before, detections(xml, photos), strict=True))
    assert kept.parent == 12 * CHECK
    assert kept.parent_kept < 0.8 * kept.parent


def test_our_scope_keeps_them(
    parent: Path, photos: Photos, before: list[Detections], tmp_path: Path
) -> None:
    done = quantize(parent, tmp_path / "ours.xml", photos, QuantizeOptions())
    assert done.scope.stages == "two-stage"
    kept = kept_of(zip(before, detections(done.published.path, photos), strict=True))
    assert kept == done.kept
    assert kept.parent == 12 * CHECK
    assert kept.parent_kept >= 0.95 * kept.parent
    assert kept.own_kept >= 0.95 * kept.own
    assert kept.mean_mask_iou is not None
    assert kept.mean_mask_iou > 0.9
    assert done.published.size_bytes < done.parent_bytes
    assert load_contract(done.published.path).precision == "int8"


def test_nothing_found_is_nothing_lost() -> None:
    assert Kept().share == 1.0
    assert Kept().mean_mask_iou is None
