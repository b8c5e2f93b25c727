"""A canvas of signed distances: smooth edges, and for every pixel the object that it belongs to.

A shape is an array of distances to its outline, negative inside, in the unit of its patch. A pixel
belongs to what was painted last over its centre, so masks are exact by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
Colour = tuple[float, float, float] | F32  # RGB 0..255; an array gives each pixel its own
Point = tuple[float, float]
NOBODY = 0


class Canvas:
    """`pixels` f32 [H,W,3] RGB 0..255; `owner` i32 [H,W], NOBODY for the background."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.pixels: F32 = np.zeros((height, width, 3), np.float32)
        self.owner = np.zeros((height, width), np.int32)

    def patch(
        self, centre_px: Point, size_px: float, reach: float = 1.0, angle: float = 0.0,
        owner: int = NOBODY,
    ) -> Patch:  # fmt: skip
        """A part of the canvas with coordinates of its own.

        `size_px`: pixels of one unit. `reach`: how far from the centre it goes, in units.
        `angle`: clockwise, in radians.
        """
        return Patch(self, centre_px, size_px, reach, angle, owner)

    def everywhere(self) -> Patch:
        """The whole canvas, in pixels."""
        reach = float(max(self.width, self.height))
        return Patch(self, (0.0, 0.0), 1.0, reach, 0.0, NOBODY)


class Patch:
    """Coordinates `u` (right) and `v` (down), f32 [h,w] of pixel centres, in units."""

    def __init__(
        self, canvas: Canvas, centre_px: Point, size_px: float, reach: float, angle: float,
        owner: int,
    ) -> None:  # fmt: skip
        x, y = centre_px
        far = reach * size_px + 1.0
        left, right = (int(np.clip(v, 0, canvas.width)) for v in (x - far, x + far + 1))
        top, bottom = (int(np.clip(v, 0, canvas.height)) for v in (y - far, y + far + 1))
        area = (slice(top, bottom), slice(left, right))
        self.pixels, self._owners = canvas.pixels[area], canvas.owner[area]
        self._scale, self._owner = size_px, owner
        across = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - x)) / size_px
        down = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - y)) / size_px
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        self.u: F32 = across * cosine + down[:, np.newaxis] * sine
        self.v: F32 = down[:, np.newaxis] * cosine - across * sine

    def paint(
        self, shape: F32, colour: Colour, opacity: float = 1.0, *, solid: bool = True
    ) -> None:
        """Fill a shape. `solid`: the pixels become the owner's; else they stay whose they are."""
        cover = np.clip(0.5 - shape * self._scale, 0.0, 1.0) * np.float32(opacity)
        self._blend(cover, colour)
        if solid:
            self._owners[shape < 0] = self._owner

    def glow(self, shape: F32, colour: Colour, opacity: float, softness: float) -> None:
        """Fill a shape whose edge fades over `softness` units; the pixels stay whose they are."""
        fade = np.clip(0.5 - shape / np.float32(softness), 0.0, 1.0)
        self._blend(fade * fade * (3.0 - 2.0 * fade) * np.float32(opacity), colour)

    def _blend(self, cover: F32, colour: Colour) -> None:
        ink = np.asarray(colour, np.float32)
        self.pixels += (ink - self.pixels) * cover[..., np.newaxis].astype(np.float32)

    def circle(self, centre: Point, radius: float) -> F32:
        length: F32 = np.hypot(self.u - centre[0], self.v - centre[1])
        return length - np.float32(radius)

    def ellipse(self, centre: Point, radii: Point) -> F32:
        """Distances are right near the outline only."""
        x, y = (self.u - centre[0]) / radii[0], (self.v - centre[1]) / radii[1]
        length = np.hypot(x, y)
        slope = np.hypot(x / radii[0], y / radii[1]) / np.maximum(length, 1e-3)
        return np.asarray((length - 1.0) / np.maximum(slope, 1e-3), np.float32)

    def box(self, centre: Point, half: Point, radius: float = 0.0) -> F32:
        """A rectangle with round corners. `half`: half width and half height."""
        x = np.abs(self.u - centre[0]) - (half[0] - radius)
        y = np.abs(self.v - centre[1]) - (half[1] - radius)
        outside = np.hypot(np.maximum(x, 0.0), np.maximum(y, 0.0))
        inside = np.minimum(np.maximum(x, y), 0.0)
        return np.asarray(outside + inside - np.float32(radius), np.float32)

    def line(self, start: Point, end: Point, radius: float) -> F32:
        """A straight stroke with round ends."""
        x, y = self.u - start[0], self.v - start[1]
        way = (end[0] - start[0], end[1] - start[1])
        share = (x * way[0] + y * way[1]) / (way[0] ** 2 + way[1] ** 2)
        share = np.clip(share, 0.0, 1.0)
        length: F32 = np.hypot(x - share * way[0], y - share * way[1])
        return length - np.float32(radius)

    def stroke(self, points: Sequence[Point], radius: float) -> F32:
        """A path of straight strokes."""
        return union(*(self.line(a, b, radius) for a, b in pairwise(points)))

    def polygon(self, points: Sequence[Point]) -> F32:
        """A simple polygon."""
        nearest = np.full(self.u.shape, np.inf, np.float32)
        inside = np.zeros(self.u.shape, np.bool_)
        for (ax, ay), (bx, by) in zip(points, [*points[1:], points[0]], strict=True):
            nearest = np.minimum(nearest, self.line((ax, ay), (bx, by), 0.0))
            if ay != by:
                crosses = (self.v >= ay) != (self.v >= by)
                inside ^= crosses & (self.u < ax + (self.v - ay) * ((bx - ax) / (by - ay)))
        return np.where(inside, -nearest, nearest)


def union(*shapes: F32) -> F32:
    return np.asarray(np.minimum.reduce(shapes), np.float32)


def common(*shapes: F32) -> F32:
    """What lies in all of them."""
    return np.asarray(np.maximum.reduce(shapes), np.float32)


def mixed(first: Colour, second: Colour, share: npt.NDArray[np.floating] | float) -> F32:
    """Colours between two: `share` 0 gives the first; an array gives each pixel its own."""
    weight = np.clip(np.asarray(share, np.float32), 0.0, 1.0)[..., np.newaxis]
    one, other = np.asarray(first, np.float32), np.asarray(second, np.float32)
    return np.asarray(one + (other - one) * weight, np.float32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, int], cells: Point) -> F32:
    """Noise of -1..1 that changes slowly. `cells`: how often it changes across and down."""
    columns, rows = (max(2, round(cell) + 1) for cell in cells)
    grid = rng.uniform(-1.0, 1.0, (rows, columns)).astype(np.float32)
    height, width = shape
    y, x = np.linspace(0, rows - 1, height), np.linspace(0, columns - 1, width)
    top, left = np.minimum(y.astype(int), rows - 2), np.minimum(x.astype(int), columns - 2)
    down, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    down, right = (t * t * (3 - 2 * t) for t in (down, right))
    across = grid[:, left] * (1 - right) + grid[:, left + 1] * right
    rows_above, rows_below = across[top], across[top + 1]
    weight = down[:, np.newaxis]
    return np.asarray(rows_above * (1 - weight) + rows_below * weight, np.float32)
