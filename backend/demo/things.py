"""The things in a scene, one function a COCO category.

Each paints into a patch whose unit is half the thing's larger extent (about), centre at 0, 0.
"""

from __future__ import annotations

from collections.abc import Callable
from math import cos, pi, sin

import numpy as np

from backend.demo.canvas import F32, Colour, Patch, common, mixed, union

Rng = np.random.Generator
BRIGHT: tuple[Colour, ...] = (
    (226, 62, 66), (245, 132, 40), (250, 200, 52), (74, 172, 92), (42, 150, 190), (60, 96, 200),
    (142, 84, 184), (236, 108, 156), (244, 244, 238),
)  # fmt: skip
INK: Colour = (34, 36, 42)


def traffic_light(patch: Patch, rng: Rng) -> None:
    housing: Colour = ((44, 48, 52), (58, 64, 60), (222, 172, 44))[rng.integers(3)]
    body = patch.box((0, 0), (0.4, 0.98), 0.14)
    patch.paint(body, mixed((150, 150, 146), housing, 0.55))
    patch.paint(
        patch.box((0, 0), (0.35, 0.93), 0.11), mixed(housing, (0, 0, 0), patch.u * 0.5 + 0.1)
    )
    lit = int(rng.integers(3))
    lamps = ((238, 52, 44), (252, 190, 40), (64, 214, 108))
    for i, lamp in enumerate(lamps):
        y = 0.6 * (i - 1)
        patch.paint(patch.circle((0, y - 0.03), 0.265), (20, 22, 24))
        shine = 1.15 - 1.6 * np.hypot(patch.u + 0.07, patch.v - y + 0.07)
        dark = mixed(lamp, (24, 26, 28), 0.72)
        bright = mixed(lamp, (255, 250, 225), shine * 0.6)
        patch.paint(patch.circle((0, y), 0.23), bright if i == lit else dark)
        visor = common(patch.circle((0, y), 0.27), -patch.circle((0, y + 0.1), 0.27))
        patch.paint(visor, (14, 16, 18))
    y = 0.6 * (lit - 1)
    patch.glow(common(patch.circle((0, y), 0.3), body), lamps[lit], 0.28, 0.3)


def stop_sign(patch: Patch, rng: Rng) -> None:
    def octagon(radius: float) -> list[tuple[float, float]]:
        turns = [(k + 0.5) * pi / 4 for k in range(8)]
        return [(radius * cos(t), radius * sin(t)) for t in turns]

    red = mixed((206, 32, 40), (186, 22, 32), float(rng.uniform()))
    patch.paint(patch.polygon(octagon(1.0)), (246, 246, 242))
    patch.paint(patch.polygon(octagon(0.93)), mixed(red, (120, 8, 16), patch.v * 0.3 + 0.1))
    letters = (
        [(0.13, -0.2), (0.03, -0.26), (-0.09, -0.24), (-0.12, -0.13), (-0.06, -0.04), (0.06, 0.02),
         (0.13, 0.11), (0.1, 0.22), (-0.02, 0.27), (-0.13, 0.21)],
        [(-0.15, -0.25), (0.15, -0.25), (0.0, -0.25), (0.0, 0.27)],
        [(0.0, -0.26), (0.1, -0.2), (0.14, 0.0), (0.1, 0.2), (0.0, 0.26), (-0.1, 0.2),
         (-0.14, 0.0), (-0.1, -0.2), (0.0, -0.26)],
        [(-0.12, 0.27), (-0.12, -0.25), (0.03, -0.25), (0.13, -0.18), (0.13, -0.05), (0.03, 0.02),
         (-0.12, 0.02)],
    )  # fmt: skip
    for letter, x in zip(letters, (-0.57, -0.19, 0.19, 0.58), strict=True):
        patch.paint(patch.stroke([(px + x, py * 1.1) for px, py in letter], 0.05), (250, 250, 248))


def umbrella(patch: Patch, rng: Rng) -> None:
    first, second = _two_colours(rng)
    top = -0.35
    patch.paint(patch.line((0, -0.2), (0, 0.76), 0.035), (92, 70, 56))
    hook = [(0.14 * (1 - cos(t)), 0.76 + 0.14 * sin(t)) for t in np.linspace(0, 0.9 * pi, 9)]
    patch.paint(patch.stroke(hook, 0.05), (120, 64, 40))
    patch.paint(patch.line((0, -0.96), (0, -0.8), 0.035), (92, 70, 56))
    dome = patch.ellipse((0, 0.0), (0.98, 0.88))
    # Scallops: the rim is cut by five arcs.
    bays = [patch.ellipse((0.98 * x, 0.12), (0.205, 0.2)) for x in (-0.8, -0.4, 0.0, 0.4, 0.8)]
    canopy = common(dome, patch.v - 0.1, -union(*bays))
    ribs = np.abs(patch.u) / np.sqrt(np.clip(1.0 - (patch.v / 0.88) ** 2, 0.02, 1.0)) / 0.98
    panel = np.floor(np.clip((np.sign(patch.u) * ribs + 1.0) * 2.5, 0, 4)).astype(int) % 2
    light = np.clip(0.35 + 0.6 * patch.v + 0.35 * patch.u, 0.0, 1.0)
    colours = np.where(panel[..., np.newaxis] == 0, first, second).astype(np.float32)
    patch.paint(canopy, mixed(colours, colours * np.float32(0.55), light * 0.8))
    patch.glow(
        common(patch.ellipse((-0.35, top - 0.1), (0.2, 0.12)), canopy), (255, 255, 255), 0.25, 0.2
    )


def sports_ball(patch: Patch, rng: Rng) -> None:
    radius = 0.96
    body = patch.circle((0, 0), radius)
    kind = rng.integers(4)
    light = np.hypot(patch.u + 0.35, patch.v + 0.4)
    if kind == 0:  # football
        patch.paint(body, mixed((252, 252, 250), (150, 154, 164), light * 0.75 - 0.25))
        turn = float(rng.uniform(0, 2 * pi))
        patch.paint(patch.polygon(_ring(5, 0.34, turn)), INK)
        for k in range(5):
            angle = turn + k * 2 * pi / 5
            x, y = cos(angle), sin(angle)
            seam = patch.line((0.34 * x, 0.34 * y), (0.62 * x, 0.62 * y), 0.022)
            patch.paint(seam, (70, 74, 82))
            outer = [(0.92 * x + px, 0.92 * y + py) for px, py in _ring(5, 0.33, angle + pi)]
            patch.paint(common(patch.polygon(outer), body + 0.02), INK)
    elif kind == 1:  # basketball
        patch.paint(body, mixed((240, 138, 58), (168, 74, 22), light * 0.75 - 0.2))
        turn = float(rng.uniform(0, pi))
        u, v = (
            patch.u * cos(turn) + patch.v * sin(turn),
            patch.v * cos(turn) - patch.u * sin(turn),
        )
        for seam in (
            np.abs(u), np.abs(v), np.abs(np.hypot(u - 1.15, v) - 0.75),
            np.abs(np.hypot(u + 1.15, v) - 0.75),
        ):  # fmt: skip
            patch.paint(common(seam - np.float32(0.03), body), (52, 30, 20))
    elif kind == 2:  # tennis ball
        patch.paint(body, mixed((222, 240, 84), (140, 166, 34), light * 0.75 - 0.2))
        for side in (-1.25, 1.25):
            seam = np.abs(np.hypot(patch.u - side, patch.v - side * 0.3) - np.float32(0.85))
            patch.paint(common(seam - np.float32(0.045), body), (248, 250, 240))
    else:  # beach ball
        angle = np.arctan2(patch.v + 0.2, patch.u + 0.25) + rng.uniform(0, pi)
        panels = np.floor((angle % (2 * pi)) / (pi / 3)).astype(int)
        first, second = _two_colours(rng)
        table = np.array([first, (248, 248, 244), second, (248, 248, 244), first, second])
        colours = table[panels % 6].astype(np.float32)
        patch.paint(body, mixed(colours, colours * np.float32(0.6), light * 0.75 - 0.3))
        patch.paint(patch.circle((-0.25, -0.2), 0.11), (250, 250, 246))
    shine = common(patch.circle((-0.35, -0.4), 0.22), body)
    patch.glow(shine, (255, 255, 255), 0.3, 0.35)


def kite(patch: Patch, rng: Rng) -> None:
    first, second = _two_colours(rng)
    corners = [(0.0, -0.95), (0.56, -0.34), (0.0, 0.52), (-0.56, -0.34)]
    wave = float(rng.choice([-1.0, 1.0]))
    tail = [(wave * 0.11 * sin(t * 2.2), 0.5 + 0.45 * t / 3) for t in np.linspace(0, 3, 10)]
    patch.paint(patch.stroke(tail, 0.028), mixed(second, INK, 0.35))
    for i in (4, 7, 9):
        x, y = tail[i]
        for side in (-1, 1):
            bow = [(x, y), (x + side * 0.15, y - 0.075), (x + side * 0.15, y + 0.075)]
            patch.paint(patch.polygon(bow), first if i % 2 else second)
    sail = patch.polygon(corners)
    left, upper = patch.u < 0, patch.v < -0.34
    checker = (left ^ upper)[..., np.newaxis]
    colours = np.where(checker, first, second).astype(np.float32)
    shade = np.where(left, 0.0, 0.3) + 0.15 * np.clip(patch.v, 0, 1)
    patch.paint(sail, mixed(colours, colours * np.float32(0.6), shade))
    spars = union(
        patch.line(corners[0], corners[2], 0.02), patch.line(corners[1], corners[3], 0.02)
    )
    patch.paint(common(spars, sail), mixed(INK, first, 0.25))


def banana_outline(patch: Patch) -> tuple[F32, F32]:
    """The shape without stem and tip, and the distance from its middle line, outwards.

    An arc about (0, -0.72) whose thickness falls to the ends.
    """
    x, y = patch.u, patch.v + np.float32(0.72)
    radius, angle = np.hypot(x, y), np.abs(np.arctan2(x, y))
    share = np.clip(angle / np.float32(0.98), 0.0, 1.0)
    half = 0.235 * np.sqrt(np.clip(1.0 - share**2.4, 0.0, 1.0)) + 0.02
    offset = np.asarray(radius - 0.98, np.float32)
    body = common(np.abs(offset) - half, (angle - 1.0) * radius)
    return np.asarray(body, np.float32), offset


def banana(patch: Patch, rng: Rng) -> None:
    ripe = float(rng.uniform())
    yellow = mixed((250, 214, 64), (226, 210, 84), ripe)
    body, offset = banana_outline(patch)
    stem = patch.line((0.80, -0.20), (0.93, -0.36), 0.075)
    end = patch.circle((-0.81, -0.165), 0.065)
    patch.paint(stem, mixed((150, 140, 50), (96, 76, 34), 1.8 * patch.u - 1.2))
    patch.paint(end, (82, 62, 36))
    shade = np.clip(0.45 + offset * 2.4, 0.0, 1.0)
    patch.paint(body, mixed(yellow, (186, 134, 26), shade * 0.75))
    ridge = common(np.abs(offset + np.float32(0.045)) - np.float32(0.014), body + 0.07)
    patch.paint(ridge, (206, 160, 40), 0.8)
    for _ in range(int(rng.integers(2, 7))):
        turn, aside = rng.uniform(-0.7, 0.7), rng.uniform(-0.1, 0.12)
        spot = (float((0.98 + aside) * sin(turn)), float((0.98 + aside) * cos(turn) - 0.72))
        speck = patch.ellipse(spot, (0.035, 0.02))
        patch.paint(common(speck, body), (124, 84, 34), 0.75)


def donut(patch: Patch, rng: Rng) -> None:
    icing: Colour = ((242, 142, 178), (96, 56, 36), (250, 244, 230), (150, 206, 232),
                     (176, 136, 214), (252, 214, 110))[rng.integers(6)]  # fmt: skip
    radius, angle = np.hypot(patch.u, patch.v), np.arctan2(patch.v, patch.u)
    ring = np.abs(radius - np.float32(0.64)) - np.float32(0.32)
    patch.paint(ring, mixed((226, 172, 104), (150, 92, 42), np.abs(radius - 0.6) * 2.6))
    phase, waves = rng.uniform(0, 2 * pi, 2), rng.integers(5, 9)
    wobble = 0.03 * np.sin(waves * angle + phase[0]) + 0.02 * np.sin(3 * angle + phase[1])
    glaze = np.abs(radius - np.float32(0.64)) - (0.235 + wobble).astype(np.float32)
    light = np.clip(0.5 + 0.5 * (patch.u + patch.v) * np.sign(radius - 0.64), 0, 1)
    patch.paint(glaze, mixed(icing, np.asarray(icing, np.float32) * np.float32(0.62), light * 0.6))
    for k in range(26):
        turn = k * 2.39996 + rng.uniform(-0.3, 0.3)
        away = rng.uniform(0.48, 0.80)
        x, y = float(away * cos(turn)), float(away * sin(turn))
        lean = rng.uniform(0, pi)
        dx, dy = float(0.045 * cos(lean)), float(0.045 * sin(lean))
        colour = BRIGHT[rng.integers(len(BRIGHT))]
        patch.paint(patch.line((x - dx, y - dy), (x + dx, y + dy), 0.022), colour)
    gleam = np.abs(np.hypot(patch.u, patch.v) - np.float32(0.72)) - np.float32(0.03)
    patch.glow(common(gleam, patch.u + 0.15, patch.v + 0.15), (255, 255, 255), 0.5, 0.1)


def clock(patch: Patch, rng: Rng) -> None:
    rims: tuple[Colour, ...] = (INK, (146, 96, 56), (206, 62, 60), (52, 120, 150), (196, 160, 84))
    rim = rims[rng.integers(len(rims))]
    face: Colour = ((250, 248, 240), (236, 240, 244), (252, 240, 214))[rng.integers(3)]
    light = np.hypot(patch.u + 0.4, patch.v + 0.4)
    patch.paint(patch.circle((0, 0), 0.96), mixed(mixed(rim, (255, 255, 255), 0.25), rim, light))
    patch.paint(patch.circle((0, 0), 0.80), mixed(rim, (0, 0, 0), 0.35))
    patch.paint(patch.circle((0, 0), 0.77), mixed(face, (170, 170, 168), light * 0.4 - 0.25))
    for k in range(12):
        x, y = sin(k * pi / 6), -cos(k * pi / 6)
        inner, width = (0.58, 0.032) if k % 3 == 0 else (0.64, 0.018)
        tick = patch.line((inner * x, inner * y), (0.70 * x, 0.70 * y), width)
        patch.paint(tick, INK)
    minutes = float(rng.uniform(0, 720))
    for length, width, turn in ((0.38, 0.045, minutes / 720), (0.58, 0.03, minutes / 60)):
        x, y = sin(2 * pi * turn), -cos(2 * pi * turn)
        hand = patch.line((-0.1 * x, -0.1 * y), (length * x, length * y), width)
        patch.paint(hand, INK)
    patch.paint(patch.circle((0, 0), 0.06), (200, 50, 48))


Painter = Callable[[Patch, Rng], None]


def _ring(corners: int, radius: float, turn: float) -> list[tuple[float, float]]:
    turns = [turn + k * 2 * pi / corners for k in range(corners)]
    return [(radius * cos(t), radius * sin(t)) for t in turns]


def _two_colours(rng: Rng) -> tuple[Colour, Colour]:
    first, second = rng.choice(len(BRIGHT), 2, replace=False)
    return BRIGHT[first], BRIGHT[second]
