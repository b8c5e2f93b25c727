"""Drawn scenes: same by seed, masks exact, no instance without pixels."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from backend.demo.canvas import Canvas
from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import CATEGORIES, draw_scene
from backend.runtime.image import decode_image


def test_an_empty_canvas_belongs_to_nobody() -> None:
    canvas = Canvas(4, 3)
    assert canvas.pixels.shape == (3, 4, 3)
    assert not canvas.owner.any()


def test_a_pixel_belongs_to_what_covers_its_centre() -> None:
    canvas = Canvas(6, 4)
    patch = canvas.patch((3.0, 2.0), 1.0, 5.0, owner=7)
    patch.paint(patch.box((0, 0), (1.6, 0.6)), (255, 0, 0))
    assert canvas.owner.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 7, 7, 7, 7, 0],
        [0, 7, 7, 7, 7, 0],
        [0, 0, 0, 0, 0, 0],
    ]


def test_what_is_painted_later_hides_what_is_below() -> None:
    canvas = Canvas(4, 1)
    for owner, half in ((1, 2.0), (2, 1.0)):
        patch = canvas.patch((2.0, 0.5), 1.0, 5.0, owner=owner)
        patch.paint(patch.box((0, 0), (half, 1.0)), (0, 0, 0))
    assert canvas.owner.tolist() == [[1, 2, 2, 1]]


def test_a_polygon_is_negative_inside() -> None:
    patch = Canvas(4, 4).everywhere()
    triangle = patch.polygon([(0, 0), (4, 0), (0, 4)])
    assert (triangle < 0).astype(int).tolist() == [
        [1, 1, 1, 0],
        [1, 1, 0, 0],
        [1, 0, 0, 0],
        [0, 0, 0, 0],
    ]
    assert triangle[0, 0] == pytest.approx(-0.5)


def test_the_same_seed_draws_the_same_scene() -> None:
    one, other = draw_scene(5, 240, 160), draw_scene(5, 240, 160)
    assert np.array_equal(one.pixels, other.pixels)
    assert [i.category_id for i in one.instances] == [i.category_id for i in other.instances]
    assert not np.array_equal(one.pixels, draw_scene(6, 240, 160).pixels)


def test_scenes_have_instances_of_every_category_that_do_not_share_pixels() -> None:
    seen = set()
    for seed in range(24):
        scene = draw_scene(seed, 240, 160)
        assert scene.pixels.shape == (160, 240, 3)
        assert 1 <= len(scene.instances) <= 8
        together = np.sum([instance.mask for instance in scene.instances], axis=0)
        assert together.max() == 1
        for instance in scene.instances:
            x1, y1, x2, y2 = instance.box_xyxy_px
            assert instance.mask[y1:y2, x1:x2].sum() == instance.mask.sum() > 30
            seen.add(instance.name)
    assert seen == set(CATEGORIES.values())


def test_a_donut_has_a_hole() -> None:
    donuts = [
        instance
        for seed in range(12)
        for instance in draw_scene(seed, 240, 160).instances
        if instance.name == "donut"
    ]
    assert donuts
    for donut in donuts:
        x1, y1, x2, y2 = donut.box_xyxy_px
        if min(x1, y1) > 0 and x2 < 240 and y2 < 160:
            assert not donut.mask[(y1 + y2) // 2, (x1 + x2) // 2]


def test_tiny_scenes_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 64 pixels, but got 40x100"):
        draw_scene(1, 40, 100)


def test_jpeg_keeps_the_size() -> None:
    picture = decode_image(encode_jpeg(draw_scene(1, 240, 160)))
    assert (picture.width, picture.height) == (240, 160)


def test_drawing_needs_neither_openvino_nor_opencv() -> None:
    code = (
        "import sys, backend.demo.scenes as s; s.draw_scene(1, 96, 64); "
        "print(sorted({'openvino', 'cv2', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
