"""Scenes of eight COCO categories with exact instance masks; numpy only, the same by seed.

A scene is a picture for the demo, an example for training, and ground truth for tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from backend.demo import backdrops, things
from backend.demo.canvas import Canvas, Point, mixed

Rng = np.random.Generator
Box = tuple[float, float, float, float]

#: COCO's category ids and names.
CATEGORIES: dict[int, str] = {
    10: "traffic light", 13: "stop sign", 28: "umbrella", 37: "sports ball", 38: "kite",
    52: "banana", 60: "donut", 85: "clock",
}  # fmt: skip
#: Training draws smaller seeds only; from here on scenes are new to the shipped model.
FIRST_UNSEEN_SEED = 1_000_000
_SMALLEST_VISIBLE = 0.5  # of a thing's own pixels; what is hidden more is no instance
_MOST_OVERLAP = 0.12  # of the smaller box


@dataclass(frozen=True, eq=False)
class Instance:
    """`mask` bool [H,W] of the visible pixels; `box_xyxy_px` their bounds in pixel edges."""

    category_id: int
    mask: npt.NDArray[np.bool_]

    @property
    def name(self) -> str:
        return CATEGORIES[self.category_id]

    @cached_property
    def box_xyxy_px(self) -> tuple[int, int, int, int]:
        rows, columns = (np.flatnonzero(self.mask.any(axis=axis)) for axis in (1, 0))
        return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@dataclass(frozen=True, eq=False)
class Scene:
    """`pixels` u8 [H,W,3] RGB."""

    pixels: npt.NDArray[np.uint8]
    instances: tuple[Instance, ...]


def draw_scene(seed: int, width: int = 960, height: int = 640) -> Scene:
    """The scene of a seed: three to seven things in a landscape or on a table.

    Another size shows another scene of the same kind. Sides of at least 64 pixels.
    """
    if min(width, height) < 64:
        raise ValueError(f"a scene needs sides of at least 64 pixels, but got {width}x{height}")
    rng = np.random.default_rng((seed, width, height))
    canvas = Canvas(width, height)
    if rng.uniform() < 0.6:
        view = backdrops.outdoors(canvas, rng)
        spots = _arrange_outdoors(canvas, rng, view.horizon, _ON_BEACH if view.beach else _IN_PARK)
    else:
        backdrops.table(canvas, rng)
        spots = _arrange_on_table(canvas, rng)
    instances = _paint(canvas, rng, spots)
    noise = rng.normal(0.0, 2.0, (height, width, 1)).astype(np.float32)
    return Scene(np.clip(canvas.pixels + noise, 0, 255).round().astype(np.uint8), instances)


@dataclass(frozen=True)
class _Spot:
    """Where a thing stands; `size` is its half extent in pixels, `ground` its shadow's height."""

    category_id: int
    centre: Point
    size: float
    angle: float = 0.0
    ground: float | None = None

    @property
    def box(self) -> Box:
        wide, high = _EXTENT[self.category_id]
        turned = abs(np.sin(self.angle)), abs(np.cos(self.angle))
        half_x = self.size * (wide * turned[1] + high * turned[0])
        half_y = self.size * (high * turned[1] + wide * turned[0])
        x, y = self.centre
        return x - half_x, y - half_y, x + half_x, y + half_y


_PAINTERS: dict[int, things.Painter] = {
    10: things.traffic_light, 13: things.stop_sign, 28: things.umbrella, 37: things.sports_ball,
    38: things.kite, 52: things.banana, 60: things.donut, 85: things.clock,
}  # fmt: skip
#: Half width and half height in units of a thing's patch.
_EXTENT = {
    10: (0.4, 1.0), 13: (1.0, 1.0), 28: (1.0, 1.0), 37: (1.0, 1.0), 38: (0.6, 1.0),
    52: (1.0, 0.6), 60: (1.0, 1.0), 85: (1.0, 1.0),
}  # fmt: skip
#: Half extent as a share of the scene's short side, from and to.
_SIZES = {
    10: (0.15, 0.24), 13: (0.09, 0.16), 28: (0.16, 0.26), 37: (0.055, 0.10), 38: (0.12, 0.21),
    52: (0.13, 0.21), 60: (0.09, 0.16), 85: (0.08, 0.14),
}  # fmt: skip
_ON_POSTS = (10, 13, 85)
_IN_PARK = (10, 10, 13, 13, 28, 37, 37, 38, 85)
_ON_BEACH = (28, 28, 37, 37, 38, 38, 38, 13, 10)
_ON_TABLE = (52, 52, 52, 60, 60, 60, 85, 85, 37)


def _arrange_outdoors(
    canvas: Canvas, rng: Rng, horizon: float, pool: tuple[int, ...]
) -> list[_Spot]:
    """Far things first."""
    unit = float(min(canvas.width, canvas.height))
    spots: list[_Spot] = []
    taken: list[Box] = []
    for category_id in _chosen(rng, pool, int(rng.integers(3, 7))):
        for _ in range(30):
            size = unit * float(rng.uniform(*_SIZES[category_id]))
            x = float(rng.uniform(0.9 * size, canvas.width - 0.9 * size))
            foot = float(
                rng.uniform(horizon + 0.12 * (canvas.height - horizon), canvas.height * 0.97)
            )
            angle = float(rng.normal(0.0, 0.06))
            if category_id == 38:
                y, angle = (
                    float(rng.uniform(size, horizon - 0.6 * size)),
                    float(rng.normal(0, 0.45)),
                )
                spot = _Spot(38, (x, y), size, angle)
            elif category_id in _ON_POSTS:
                reach = size * _EXTENT[category_id][1]
                y = max(reach * 1.05, foot - reach - unit * float(rng.uniform(0.12, 0.34)))
                spot = _Spot(category_id, (x, y), size, angle * 0.5, foot)
            else:
                angle = float(rng.normal(0, 0.2)) if category_id == 28 else angle
                spot = _Spot(category_id, (x, foot - size * 0.95), size, angle, foot)
            boxes = _boxes(spot)
            if _fits(boxes, taken):
                spots.append(spot)
                taken += boxes
                break
    return sorted(spots, key=lambda spot: spot.ground or 0.0)


def _arrange_on_table(canvas: Canvas, rng: Rng) -> list[_Spot]:
    unit = float(min(canvas.width, canvas.height))
    spots: list[_Spot] = []
    taken: list[Box] = []
    for category_id in _chosen(rng, _ON_TABLE, int(rng.integers(3, 8))):
        for _ in range(30):
            size = unit * float(rng.uniform(*_SIZES[category_id])) * 1.1
            x = float(rng.uniform(0.8 * size, canvas.width - 0.8 * size))
            y = float(rng.uniform(0.8 * size, canvas.height - 0.8 * size))
            angle = float(rng.normal(0, 0.15) if category_id == 85 else rng.uniform(0, 2 * np.pi))
            spot = _Spot(category_id, (x, y), size, angle)
            if _fits([spot.box], taken):
                spots.append(spot)
                taken.append(spot.box)
                break
    return spots


def _chosen(rng: Rng, pool: tuple[int, ...], count: int) -> list[int]:
    return [int(value) for value in rng.permutation(pool)[:count]]


def _boxes(spot: _Spot) -> list[Box]:
    """A thing's box, and its post's."""
    if spot.category_id in _ON_POSTS and spot.ground is not None:
        x, y = spot.centre
        return [spot.box, (x - 0.1 * spot.size, y, x + 0.1 * spot.size, spot.ground)]
    return [spot.box]


def _fits(boxes: list[Box], taken: list[Box]) -> bool:
    for ax1, ay1, ax2, ay2 in boxes:
        for bx1, by1, bx2, by2 in taken:
            width, height = min(ax2, bx2) - max(ax1, bx1), min(ay2, by2) - max(ay1, by1)
            smaller = min((ax2 - ax1) * (ay2 - ay1), (bx2 - bx1) * (by2 - by1))
            if width > 0 and height > 0 and width * height > _MOST_OVERLAP * smaller:
                return False
    return True


def _paint(canvas: Canvas, rng: Rng, spots: list[_Spot]) -> tuple[Instance, ...]:
    whole: list[int] = []
    for number, spot in enumerate(spots, 1):
        _paint_support(canvas, spot)
        patch = canvas.patch(spot.centre, spot.size, 1.45, spot.angle, number)
        _PAINTERS[spot.category_id](patch, rng)
        whole.append(int((canvas.owner == number).sum()))
    instances = []
    for number, (spot, area) in enumerate(zip(spots, whole, strict=True), 1):
        mask = canvas.owner == number
        if mask.sum() > _SMALLEST_VISIBLE * area:
            instances.append(Instance(spot.category_id, mask))
    return tuple(instances)


def _paint_support(canvas: Canvas, spot: _Spot) -> None:
    """Shadow and post; they belong to nothing."""
    (x, y), size = spot.centre, spot.size
    if spot.ground is not None:
        shadow = canvas.patch((x + 0.15 * size, spot.ground), size, 1.6)
        wide = 0.35 if spot.category_id in _ON_POSTS else 0.85
        shadow.glow(shadow.ellipse((0, 0), (wide, 0.12)), (30, 40, 40), 0.38, 0.14)
    elif spot.category_id == 38:
        string = canvas.everywhere()
        end = (x + 0.9 * canvas.height * np.sin(0.35 + spot.angle), canvas.height * 1.0)
        string.paint(string.line((x, y), (float(end[0]), end[1]), 0.4), (240, 240, 236), 0.6)
        return
    else:
        shadow = canvas.patch((x + 0.1 * size, y + 0.14 * size), size, 1.6, spot.angle)
        wide, high = _EXTENT[spot.category_id]
        shape = shadow.ellipse((0, 0), (wide * 0.95, high * 0.95))
        if spot.category_id == 52:
            shape = things.banana_outline(shadow)[0]
        elif spot.category_id == 60:
            shape = np.abs(shadow.circle((0, 0), 0.64)) - np.float32(0.3)
        shadow.glow(shape, (30, 22, 18), 0.42, 0.3)
        return
    if spot.category_id in _ON_POSTS:
        post = canvas.patch((x, (y + spot.ground) / 2), spot.ground - y, 0.6)
        half = 0.07 * size / (spot.ground - y)
        shade = post.u / np.float32(half)
        post.paint(post.box((0, 0), (half, 0.5)), mixed((176, 180, 184), (84, 90, 96), shade))
