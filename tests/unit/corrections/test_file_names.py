"""Names of image files: safe, and of one task's image only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.corrections.export.file_names import image_file_name


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("/data/upload/3/ab12cd34-a_photo.JPG", "7-ab12cd34-a_photo.jpg"),
        ("/data/local-files/?d=folder/one%20two.png", "7-one_two.png"),
        ("s3://bucket/deep/er/x.webp?versionId=secret", "7-x.webp"),
        ("http://host/Ü%2F..%2F..%2Fetc%2Fpasswd", "7-passwd.jpg"),
        ("http://host/download?id=3&token=secret", "7-download.jpg"),
        ("http://host/v1.2", "7-v1.2.jpg"),
        ("data:image/png;base64,AAAA", "7-image.jpg"),
        ("http://[broken", "7-image.jpg"),
        ("..", "7-image.jpg"),
        ("C:\\photos\\a.tif", "7-a.tif"),
    ],
)
def test_names(address: str, wanted: str) -> None:
    assert image_file_name(7, address) == wanted


def test_images_of_one_task_have_names_of_their_own() -> None:
    assert image_file_name(7, "a.jpg", 0) != image_file_name(7, "a.jpg", 1)
    assert image_file_name(7, "a.jpg", 1) == "7.1-a.jpg"


@given(st.text(max_size=300))
def test_any_address_gives_a_safe_name(address: str) -> None:
    name = image_file_name(12, address)
    assert name.startswith("12-")
    assert len(name) < 120
    assert set(name) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
    assert not name.endswith(".")
