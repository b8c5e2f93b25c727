"""Which photos calibrate, and which check."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from backend.runtime.errors import ConversionError, ImageError
from converter.calibration import photos_of, read_photo, split


def photos(folder: Path, count: int) -> tuple[Path, ...]:
    folder.mkdir(exist_ok=True)
    for number in range(count):
        pixels = np.full((4, 4, 3), number, np.uint8)
        assert cv2.imwrite(str(folder / f"{number:03}.png"), pixels)
    return photos_of(folder)


def test_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no image in the folder"):
        photos_of(tmp_path)


def test_a_folder_has_its_images_in_order(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    assert [path.name for path in photos(tmp_path, 3)] == ["000.png", "001.png", "002.png"]


@pytest.mark.parametrize("inside", [".", "images"])
def test_a_coco_file_names_its_images(tmp_path: Path, inside: str) -> None:
    photos(tmp_path / inside, 3)
    coco = tmp_path / "instances.json"
    coco.write_text(json.dumps({"images": [{"file_name": f"00{i}.png"} for i in (2, 0)]}))
    assert [path.name for path in photos_of(coco)] == ["000.png", "002.png"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[]", "neither a folder of images nor a COCO file"),
        ("{", "neither a folder of images nor a COCO file"),
        ('{"images": []}', "names no image"),
        ('{"images": [{"file_name": "gone.png"}]}', "names gone.png, which is neither beside it"),
    ],
)
def test_a_coco_file_that_is_none(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ConversionError, match=said):
        photos_of(path)


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="no folder or COCO file"):
        photos_of(tmp_path / "gone")


def test_one_in_four_is_held_out_and_always_the_same(tmp_path: Path) -> None:
    found = photos(tmp_path, 12)
    chosen = split(found, subset_size=300)
    assert (len(chosen.calibration), len(chosen.check)) == (9, 3)
    assert not set(chosen.calibration) & set(chosen.check)
    assert split(tuple(reversed(found)), subset_size=300) == chosen
    assert split(found, subset_size=4).calibration == chosen.calibration[:4]


def test_one_image_cannot_do_both(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="of 1 images none is left"):
        split(photos(tmp_path, 1), subset_size=300)
    assert len(split(photos(tmp_path, 2), subset_size=300).calibration) == 1


def test_the_same_photo_under_another_name_does_not_calibrate(tmp_path: Path) -> None:
    found = photos(tmp_path / "a", 3)
    other = photos(tmp_path / "b", 2)
    chosen = split(found, other, subset_size=300)
    assert [path.name for path in chosen.calibration] == ["002.png"]
    assert chosen.check == other
    with pytest.raises(ConversionError, match="of 2 images none is left"):
        split(found[:2], other, subset_size=300)


def test_only_annotated_photos_check(tmp_path: Path) -> None:
    found = photos(tmp_path, 8)
    chosen = split(found, subset_size=300, annotated={"005.png"})
    assert [path.name for path in chosen.check] == ["005.png"]
    assert len(chosen.calibration) == 7
    with pytest.raises(ConversionError, match="is in --annotations"):
        split(found, subset_size=300, annotated={"other.png"})
    with pytest.raises(ConversionError, match="is in --annotations"):
        split(found, found[:2], subset_size=300, annotated={"005.png"})


def test_a_broken_photo_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"broken\.jpg"):
        read_photo(broken)
    with pytest.raises(ImageError, match=r"gone\.jpg cannot be read"):
        read_photo(tmp_path / "gone.jpg")
