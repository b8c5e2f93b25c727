"""Mask -> polygons with as few points as a wanted overlap takes.

Each ring starts as a coarse figure and is refined where it errs by the largest area (top-down, as
Douglas and Peucker 1973 split, but ordered by area, which is what overlap counts). A hole starts
closed, with its area as its error; opening it is one more refinement, paid in points.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop
from backend.runtime.outlines import Part, ring_area, trace

F64 = npt.NDArray[np.float64]
_KEYHOLE_POINTS = 2  # a hole's slit repeats one point of the hole and one of the outline
_HOLE_START = 4


@dataclass(frozen=True)
class PolygonDetail:
    """How closely polygons follow their masks.

    `overlap`: intersection over union that each outline keeps with its part of the mask, unless
    `max_points` is reached first. `min_area_px`: smaller parts and holes are left out, in pixels
    of the image; the largest part of an instance always stays.
    """

    overlap: float = 0.965
    max_points: int = 80
    min_area_px: float = 16.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.overlap <= 1.0:
            raise ValueError(f"polygon overlap must be within 0.5..1, but is {self.overlap}")
        if self.max_points < 4:
            raise ValueError(f"a polygon needs at least 4 points, but got {self.max_points}")
        if self.min_area_px < 0:
            raise ValueError(f"the minimum area cannot be negative, but is {self.min_area_px}")


def polygons(mask: MaskCrop, detail: PolygonDetail) -> list[F64]:
    """One polygon [n, 2] (x, y in pixel edges of the image) a part, the largest part first.

    Holes are joined to their outline by a slit of no width (keyhole). An empty mask has none.
    """
    parts = trace(mask)
    kept = [p for i, p in enumerate(parts) if i == 0 or p.area >= detail.min_area_px]
    return [_outline(part, detail) for part in kept]


def _outline(part: Part, detail: PolygonDetail) -> F64:
    holes = [hole for hole in part.holes if ring_area(hole) >= detail.min_area_px]
    area = part.area
    missing, added = 0.0, 0.0  # area of the mask outside the polygon, of the polygon outside it
    outer = _Ring(part.outer)
    rings = [outer]
    points = outer.points
    heap: list[tuple[float, int, _Chain | F64]] = []
    ticket = 0

    def push(item: _Chain | F64, error: float) -> None:
        nonlocal ticket
        heapq.heappush(heap, (-error, ticket, item))
        ticket += 1

    for chain in outer.chains:
        missing, added = missing + chain.missing, added + chain.added
        push(chain, chain.missing + chain.added)
    for hole in part.holes:
        added += ring_area(hole)
    for hole in holes:
        push(hole, ring_area(hole))

    while heap and (area - missing < detail.overlap * (area + added) or outer.points < 3):
        _, _, item = heapq.heappop(heap)
        if isinstance(item, _Chain):
            if points >= detail.max_points or item.is_edge:
                continue
            children: tuple[_Chain, ...] = item.split()
            points += 1
            missing -= item.missing
            added -= item.added
        else:
            if points + _HOLE_START + _KEYHOLE_POINTS > detail.max_points:
                continue
            ring = _Ring(item)
            rings.append(ring)
            children = ring.chains
            points += ring.points + _KEYHOLE_POINTS
            added -= ring_area(item)
        for child in children:
            missing, added = missing + child.missing, added + child.added
            push(child, child.missing + child.added)
    return _keyhole(rings[0].polygon(), [ring.polygon() for ring in rings[1:]])


@dataclass(eq=False)
class _Chain:
    """The stretch of a ring between two kept points, for which the polygon has one edge."""

    ring: _Ring
    first: int
    last: int  # index into the doubled ring, > first
    missing: float = field(init=False)
    added: float = field(init=False)
    farthest: int = field(init=False)

    def __post_init__(self) -> None:
        points = self.ring.doubled[self.first : self.last + 1]
        chord = points[-1] - points[0]
        length = float(np.hypot(chord[0], chord[1]))
        rel = points - points[0]
        if length == 0.0:
            distance = np.hypot(rel[:, 0], rel[:, 1])
            self.missing, self.added = ring_area(points), 0.0
        else:
            along = (rel @ chord) / length
            # positive: the ring lies on the outer side of the edge, the polygon misses it
            aside = (chord[1] * rel[:, 0] - chord[0] * rel[:, 1]) / -length
            self.missing, self.added = _areas_beside(along, aside)
            distance = np.hypot(aside, along - np.clip(along, 0.0, length))
        self.farthest = self.first + int(np.argmax(distance))

    @property
    def is_edge(self) -> bool:
        """Whether nothing lies between the two points."""
        return self.last - self.first < 2

    def split(self) -> tuple[_Chain, _Chain]:
        """Keep the farthest point too."""
        middle = min(max(self.farthest, self.first + 1), self.last - 1)
        self.ring.kept.add(middle % self.ring.size)
        return _Chain(self.ring, self.first, middle), _Chain(self.ring, middle, self.last)


def _areas_beside(along: F64, aside: F64) -> tuple[float, float]:
    """Areas between a path and its chord, on the right and on the left of the chord."""
    width = np.abs(np.diff(along))
    a, b = aside[:-1], aside[1:]
    right_a, right_b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    left_a, left_b = np.maximum(-a, 0.0), np.maximum(-b, 0.0)
    crossing = a * b < 0.0
    # where the path crosses the chord, each side gets a triangle instead of a trapezium
    span = np.where(crossing, np.abs(a) + np.abs(b), 1.0)
    right = np.where(crossing, (right_a**2 + right_b**2) / span, right_a + right_b)
    left = np.where(crossing, (left_a**2 + left_b**2) / span, left_a + left_b)
    return float(right @ width) / 2.0, float(left @ width) / 2.0


class _Ring:
    """A ring under refinement: which of its points are kept."""

    def __init__(self, points: F64) -> None:
        self.size = len(points)
        start = points[0]
        far = int(np.argmax(((points - start) ** 2).sum(axis=1)))
        self.doubled = np.concatenate([points, points])
        self.kept = {0, far}
        self.chains: tuple[_Chain, ...] = (_Chain(self, 0, far), _Chain(self, far, self.size))

    @property
    def points(self) -> int:
        return len(self.kept)

    def polygon(self) -> F64:
        return self.doubled[sorted(self.kept)]


def _keyhole(outer: F64, holes: list[F64]) -> F64:
    """Join holes to the outline, the nearest first, by a slit there and back."""
    left = [hole for hole in holes if len(hole) >= 3]
    while left:
        gaps = [((outer[:, np.newaxis] - hole[np.newaxis]) ** 2).sum(axis=2) for hole in left]
        nearest = int(np.argmin([gap.min() for gap in gaps]))
        hole, gap = left.pop(nearest), gaps[nearest]
        at, into = (int(v) for v in np.unravel_index(int(np.argmin(gap)), gap.shape))
        turned = np.roll(hole, -into, axis=0)
        outer = np.concatenate([outer[: at + 1], turned, turned[:1], outer[at:]])
    return outer
