"""What stands behind the things: a park, a beach or a street, and tables seen from above.

Nothing here belongs to a category, though some of it looks a little alike (sun, plates, trees), so
that a model must look closely.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import pi, sin

import numpy as np

from backend.demo.canvas import Canvas, Colour, Patch, common, mixed, smooth_noise, union

Rng = np.random.Generator


@dataclass(frozen=True)
class _Daylight:
    zenith: Colour
    haze: Colour
    cloud: Colour
    hill: Colour
    tint: float  # how much of the haze lies over the ground


_DAYLIGHTS = (
    _Daylight((92, 158, 222), (208, 230, 244), (250, 252, 254), (126, 164, 150), 0.05),
    _Daylight((120, 190, 232), (236, 240, 226), (255, 255, 252), (140, 178, 140), 0.08),
    _Daylight((130, 146, 190), (250, 208, 170), (252, 226, 206), (142, 128, 150), 0.22),
    _Daylight((168, 182, 196), (222, 228, 232), (238, 240, 242), (140, 156, 158), 0.18),
)


@dataclass(frozen=True)
class Landscape:
    """`horizon`: pixels from above."""

    horizon: float
    beach: bool


def outdoors(canvas: Canvas, rng: Rng) -> Landscape:
    """Sky, horizon and ground."""
    light = _DAYLIGHTS[rng.integers(len(_DAYLIGHTS))]
    horizon = float(canvas.height * rng.uniform(0.58, 0.68))
    all_of_it = canvas.everywhere()
    depth = all_of_it.v / np.float32(horizon)
    canvas.pixels[:] = mixed(light.zenith, light.haze, depth)
    unit = float(min(canvas.width, canvas.height))
    if rng.uniform() < 0.5:
        _sun(canvas, rng, horizon, unit)
    for _ in range(int(rng.integers(2, 5))):
        _cloud(canvas, rng, horizon, unit, light)
    _hills(all_of_it, rng, horizon, unit, light)
    ground = rng.integers(3)
    if ground == 0:
        _beach(canvas, all_of_it, rng, horizon, light)
    else:
        _trees(canvas, rng, horizon, unit, light)
        if rng.uniform() < 0.6:
            _houses(canvas, rng, horizon, unit, light)
        _meadow(canvas, all_of_it, rng, horizon, light)
        if ground == 2:
            _path(canvas, all_of_it, rng, horizon)
    return Landscape(horizon, beach=bool(ground == 0))


def table(canvas: Canvas, rng: Rng) -> None:
    """A wooden table, a chequered cloth or a plain top, perhaps with plates and a napkin."""
    all_of_it = canvas.everywhere()
    kind = rng.integers(3)
    unit = float(min(canvas.width, canvas.height))
    if kind == 0:
        _wood(canvas, all_of_it, rng, unit)
    elif kind == 1:
        _cloth(canvas, all_of_it, rng, unit)
    else:
        tops: tuple[Colour, ...] = (
            (214, 224, 222),
            (226, 214, 200),
            (122, 150, 160),
            (196, 206, 184),
        )
        top = tops[rng.integers(len(tops))]
        marble = smooth_noise(rng, canvas.owner.shape, (5, 4)) * np.float32(0.1)
        canvas.pixels[:] = mixed(top, (255, 255, 255), marble + np.float32(0.1))
    if rng.uniform() < 0.4:
        _napkin(canvas, rng, unit)
    for _ in range(int(rng.integers(0, 3))):
        _plate(canvas, rng, unit)
    corner = np.hypot(all_of_it.u / canvas.width - 0.3, all_of_it.v / canvas.height - 0.25)
    canvas.pixels *= (1.06 - 0.22 * corner)[..., np.newaxis]


def _sun(canvas: Canvas, rng: Rng, horizon: float, unit: float) -> None:
    spot = (float(rng.uniform(0.1, 0.9)) * canvas.width, float(rng.uniform(0.12, 0.5)) * horizon)
    patch = canvas.patch(spot, unit * 0.06, 3.0)
    patch.glow(patch.circle((0, 0), 1.2), (255, 246, 214), 0.6, 3.0)
    patch.paint(patch.circle((0, 0), 0.9), (255, 244, 196))


def _cloud(canvas: Canvas, rng: Rng, horizon: float, unit: float, light: _Daylight) -> None:
    spot = (float(rng.uniform(0, 1)) * canvas.width, float(rng.uniform(0.08, 0.6)) * horizon)
    patch = canvas.patch(spot, unit * float(rng.uniform(0.09, 0.17)), 2.0)
    puffs = [
        patch.ellipse((x + float(rng.uniform(-0.1, 0.1)), y), (0.5 * r, 0.42 * r))
        for x, y, r in ((-0.9, 0.1, 0.9), (-0.4, -0.12, 1.1), (0.15, -0.2, 1.25), (0.75, 0.05, 1.0))
    ]
    shape = common(union(*puffs), patch.v - 0.25)
    patch.glow(shape, mixed(light.cloud, light.haze, patch.v * 1.2 + 0.1), 0.85, 0.16)


def _hills(patch: Patch, rng: Rng, horizon: float, unit: float, light: _Daylight) -> None:
    for distance in (1.0, 0.5):
        height = 0.06 + 0.1 * distance * float(rng.uniform(0.5, 1.0))
        phases = rng.uniform(0, 2 * pi, 3)
        x = patch.u[0] / np.float32(unit)
        waves = sum(
            np.sin(x * f + p) / k
            for k, (f, p) in enumerate(zip((2.1, 5.3, 11.0), phases, strict=True), 1)
        )
        ridge = horizon - unit * height * (1.0 + 0.45 * waves)
        colour = mixed(light.hill, light.haze, 0.55 * distance)
        patch.paint((ridge[np.newaxis] - patch.v).astype(np.float32), colour)


def _trees(canvas: Canvas, rng: Rng, horizon: float, unit: float, light: _Daylight) -> None:
    for _ in range(int(rng.integers(3, 8))):
        size = unit * float(rng.uniform(0.06, 0.13))
        spot = (float(rng.uniform(0, canvas.width)), horizon - 0.8 * size)
        patch = canvas.patch(spot, size, 1.6)
        green = mixed((62, 124, 72), (128, 154, 66), float(rng.uniform()))
        green = mixed(green, light.haze, light.tint + 0.12)
        patch.paint(patch.box((0, 0.75), (0.09, 0.4)), (104, 80, 60))
        if rng.uniform() < 0.35:  # a fir
            crown = patch.polygon([(0, -1.2), (0.5, 0.6), (-0.5, 0.6)])
        else:
            crown = union(
                patch.circle((0, -0.35), 0.5), patch.circle((-0.35, 0.1), 0.42),
                patch.circle((0.35, 0.1), 0.44),
            )  # fmt: skip
        patch.paint(crown, mixed(green, (30, 60, 44), 0.3 + 0.4 * patch.u + 0.2 * patch.v))


def _houses(canvas: Canvas, rng: Rng, horizon: float, unit: float, light: _Daylight) -> None:
    walls: tuple[Colour, ...] = ((236, 224, 200), (214, 186, 160), (200, 210, 214), (226, 200, 190))
    for _ in range(int(rng.integers(1, 4))):
        size = unit * float(rng.uniform(0.08, 0.13))
        patch = canvas.patch((float(rng.uniform(0, canvas.width)), horizon - 0.7 * size), size, 1.6)
        wall = mixed(walls[rng.integers(len(walls))], light.haze, light.tint + 0.1)
        patch.paint(patch.box((0, 0.25), (0.7, 0.55)), wall)
        roof = [(-0.85, -0.28), (-0.45, -0.8), (0.45, -0.8), (0.85, -0.28)]
        patch.paint(patch.polygon(roof), mixed((156, 82, 66), light.haze, light.tint + 0.1))
        for x in (-0.4, 0.0, 0.4):
            patch.paint(patch.box((x, 0.15), (0.11, 0.17)), mixed((84, 106, 126), light.haze, 0.1))


def _meadow(canvas: Canvas, patch: Patch, rng: Rng, horizon: float, light: _Daylight) -> None:
    depth = (patch.v - horizon) / np.float32(canvas.height - horizon)
    grass = mixed((146, 182, 104), (84, 138, 66), depth)
    fine = smooth_noise(rng, canvas.owner.shape, (canvas.width / 6, canvas.height / 3))
    broad = smooth_noise(rng, canvas.owner.shape, (6, 12))
    grass = mixed(grass * (1 + 0.05 * fine + 0.06 * broad)[..., np.newaxis], light.haze, light.tint)
    patch.paint(np.float32(horizon) - patch.v, grass)
    for _ in range(int(rng.integers(0, 25))):  # flowers
        spot = (float(rng.uniform(0, canvas.width)), float(rng.uniform(horizon + 8, canvas.height)))
        flower = canvas.patch(spot, canvas.height * 0.005, 1.2)
        flower.paint(flower.circle((0, 0), 1.0), ((250, 246, 240), (246, 214, 90))[rng.integers(2)])


def _path(canvas: Canvas, patch: Patch, rng: Rng, horizon: float) -> None:
    depth = np.clip((patch.v - horizon) / np.float32(canvas.height - horizon), 0, 1)
    middle = canvas.width * (0.5 + float(rng.uniform(-0.25, 0.25)) * (1 - depth))
    half = canvas.width * (0.02 + float(rng.uniform(0.15, 0.3)) * depth)
    asphalt: Colour = ((150, 152, 156), (206, 188, 158))[rng.integers(2)]
    shape = common(np.abs(patch.u - middle) - half, np.float32(horizon) - patch.v)
    patch.paint(shape.astype(np.float32), mixed(asphalt, (70, 70, 74), 0.25 * depth))


def _beach(canvas: Canvas, patch: Patch, rng: Rng, horizon: float, light: _Daylight) -> None:
    top = horizon - 0.1 * canvas.height
    waves = np.sin(patch.v * np.float32(0.35) + np.sin(patch.u * np.float32(0.02)) * 2)
    sea = mixed((66, 150, 180), (144, 206, 208), (patch.v - top) / (0.1 * canvas.height))
    patch.paint(np.float32(top) - patch.v, mixed(sea, (255, 255, 255), 0.06 + 0.05 * waves))
    shore = horizon + 0.012 * canvas.height * np.sin(patch.u / canvas.width * 9 + rng.uniform(0, 6))
    patch.paint((shore - 0.012 * canvas.height - patch.v).astype(np.float32), (244, 248, 244))
    fine = smooth_noise(rng, canvas.owner.shape, (canvas.width / 4, canvas.height / 4))
    dunes = smooth_noise(rng, canvas.owner.shape, (5, 16))
    sand = (
        np.asarray((236, 212, 164), np.float32) * (1 + 0.025 * fine + 0.04 * dunes)[..., np.newaxis]
    )
    patch.paint((shore - patch.v).astype(np.float32), mixed(sand, light.haze, light.tint))


def _wood(canvas: Canvas, patch: Patch, rng: Rng, unit: float) -> None:
    woods = (((206, 160, 108), (168, 118, 72)), ((150, 106, 74), (112, 76, 52)),
             ((222, 196, 156), (190, 160, 120)))  # fmt: skip
    pale, dark = woods[rng.integers(len(woods))]
    plank = np.float32(unit / float(rng.uniform(4.0, 6.0)))
    number = np.floor(patch.v / plank)
    grain = smooth_noise(rng, canvas.owner.shape, (6, canvas.height / 5))
    tone = 0.4 + 0.3 * np.sin(number * 12.9898) + 0.22 * grain
    canvas.pixels[:] = mixed(pale, dark, tone)
    gap = np.abs(patch.v - (number + 0.5) * plank) - plank / 2
    patch.glow(-gap - np.float32(1.5), np.asarray(dark, np.float32) * np.float32(0.6), 0.7, 2.5)


def _cloth(canvas: Canvas, patch: Patch, rng: Rng, unit: float) -> None:
    dyes: tuple[Colour, ...] = ((204, 70, 72), (84, 132, 190), (96, 160, 120), (222, 176, 90))
    dye = dyes[rng.integers(len(dyes))]
    step = unit / float(rng.uniform(7, 12))
    across, down = np.floor(patch.u / step) % 2, np.floor(patch.v / step) % 2
    canvas.pixels[:] = mixed((248, 246, 240), dye, 0.12 + 0.26 * (across + down))
    folds = smooth_noise(rng, canvas.owner.shape, (7, 5))
    canvas.pixels *= (1 + 0.035 * folds)[..., np.newaxis]


def _napkin(canvas: Canvas, rng: Rng, unit: float) -> None:
    spot = (float(rng.uniform(0, canvas.width)), float(rng.uniform(0, canvas.height)))
    patch = canvas.patch(spot, unit * 0.24, 1.6, float(rng.uniform(0, pi)))
    patch.glow(patch.box((0.03, 0.05), (0.9, 0.9), 0.05), (30, 24, 20), 0.25, 0.12)
    colour: Colour = ((250, 246, 236), (206, 220, 226), (240, 210, 196))[rng.integers(3)]
    patch.paint(patch.box((0, 0), (0.9, 0.9), 0.05), colour)
    patch.paint(np.abs(patch.box((0, 0), (0.78, 0.78), 0.03)) - np.float32(0.02), (190, 120, 110))


def _plate(canvas: Canvas, rng: Rng, unit: float) -> None:
    spot = (float(rng.uniform(0, canvas.width)), float(rng.uniform(0, canvas.height)))
    patch = canvas.patch(spot, unit * float(rng.uniform(0.16, 0.26)), 1.4)
    patch.glow(patch.circle((0.05, 0.08), 1.0), (30, 24, 20), 0.35, 0.2)
    glaze: Colour = ((246, 246, 244), (206, 222, 226), (238, 228, 208))[rng.integers(3)]
    lit = 0.12 + 0.1 * sin(1.0) * (patch.u + patch.v)
    patch.paint(patch.circle((0, 0), 0.97), mixed(glaze, (120, 120, 124), lit))
    patch.paint(
        np.abs(patch.circle((0, 0), 0.66)) - np.float32(0.025), mixed(glaze, INK_LIGHT, 0.5)
    )


INK_LIGHT: Colour = (150, 152, 158)
