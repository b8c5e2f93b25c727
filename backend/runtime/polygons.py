"""Mask -> polygons with as few points as a wanted overlap takes.

Each ring starts as a coarse figure and is refined where it errs by the largest area (top-down, as
Douglas and Peucker 1973 split, but ordered by area, which is what overlap counts). Its edges are
moved outward or inward until each leaves out as much as it adds, which takes about a quarter
fewer points than edges that end on the outline. A hole starts closed, with its area as its error;
opening it is one more refinement, paid in points.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop
from backend.runtime.outlines import Part, ring_area, trace

F64 = npt.NDArray[np.float64]
_KEYHOLE_POINTS = 2  # a hole's slit repeats one point of the hole and one of the outline
_HOLE_START = 4  # points of a ring at first, at the most
_SMALLEST_TURN = 0.15  # sine; edges in almost one line have no sharp meeting point


@dataclass(frozen=True)
class PolygonDetail:
    """How closely polygons follow their masks.

    `overlap`: intersection over union that each outline keeps with its part of the mask, unless
    `max_points` is reached first. `min_area_px`: smaller parts and holes are left out, in pixels
    of the image; the largest part of an instance always stays.
    """

    overlap: float = 0.957
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
    figure = _Figure(part, detail)
    hurdle = detail.overlap
    while figure.refinable:
        estimate = figure.estimated_overlap()
        if estimate >= hurdle:
            overlap = figure.overlap()
            if overlap >= detail.overlap:
                break
            # The estimate is too good by about this much.
            hurdle = estimate + (detail.overlap - overlap) / 2.0
        figure.refine()
    return _keyhole(figure.rings[0].polygon(), [ring.polygon() for ring in figure.rings[1:]])


class _Figure:
    """A part's outline and the holes cut into it so far, under refinement."""

    def __init__(self, part: Part, detail: PolygonDetail) -> None:
        self._area = part.area
        self._max_points = detail.max_points
        self._closed = sum(ring_area(hole) for hole in part.holes)  # area of holes not cut in
        self._error = 0.0
        self._heap: list[tuple[float, int, _Chain | F64]] = []
        self._tickets = count()
        self.rings: list[_Ring] = []
        self._points = 0
        self._cut(part.outer)
        for hole in part.holes:
            if ring_area(hole) >= detail.min_area_px:
                self._push(ring_area(hole), hole)

    @property
    def refinable(self) -> bool:
        return bool(self._heap)

    def estimated_overlap(self) -> float:
        """Overlap with the part if the edges ended where their stretches of the ring end."""
        return self._overlap(self._error / 2, self._error / 2)  # shifted edges are balanced

    def overlap(self) -> float:
        """Overlap of the polygons as they would be drawn now."""
        missing, added = np.sum([ring.errors() for ring in self.rings], axis=0)
        return self._overlap(float(missing), float(added))

    def refine(self) -> None:
        """Add a point, or a hole, where the chords err by the largest area."""
        _, _, item = heapq.heappop(self._heap)
        if isinstance(item, _Chain):
            if self._points < self._max_points and not item.is_edge:
                self._points += 1
                self._error -= item.error
                self._take(item.split())
        elif self._points + _HOLE_START + _KEYHOLE_POINTS <= self._max_points:
            self._points += _KEYHOLE_POINTS
            self._closed -= ring_area(item)
            self._cut(item)

    def _overlap(self, missing: float, added: float) -> float:
        return (self._area - missing) / (self._area + added + self._closed)

    def _cut(self, points: F64) -> None:
        ring = _Ring(points)
        self.rings.append(ring)
        self._points += ring.points
        self._take(ring.chains)

    def _take(self, chains: tuple[_Chain, ...]) -> None:
        for chain in chains:
            self._error += chain.error
            self._push(chain.chord_error, chain)

    def _push(self, area: float, item: _Chain | F64) -> None:
        heapq.heappush(self._heap, (-area, next(self._tickets), item))


class _Chain:
    """The stretch of a ring between two kept points, for which the polygon has one edge.

    The edge lies parallel to the chord of the two points, moved by `shift` pixels to the side so
    that it leaves out as much area as it adds; `error` is the sum of both, `chord_error` the same
    without the move.
    """

    def __init__(self, ring: _Ring, first: int, last: int) -> None:
        """`first`, `last`: indices into the doubled ring, first < last."""
        self.ring, self.first, self.last = ring, first, last
        points = ring.doubled[first : last + 1]
        rel = points - points[0]
        if not rel[-1].any():
            self.shift, self.error = 0.0, ring_area(points)
            self.chord_error = self.error
            distance = np.hypot(rel[:, 0], rel[:, 1])
        else:
            along, aside = _frame(points, points[0], points[-1])
            self.shift = float((aside[:-1] + aside[1:]) @ np.diff(along)) / 2.0 / float(along[-1])
            self.error = sum(_areas_beside(along, aside - self.shift))
            self.chord_error = sum(_areas_beside(along, aside))
            distance = np.hypot(aside, along - np.clip(along, 0.0, along[-1]))
        self.farthest = first + int(np.argmax(distance))

    @property
    def is_edge(self) -> bool:
        """Whether nothing lies between the two points."""
        return self.last - self.first < 2

    def split(self) -> tuple[_Chain, _Chain]:
        """Keep the farthest point too."""
        middle = min(max(self.farthest, self.first + 1), self.last - 1)
        chains = (_Chain(self.ring, self.first, middle), _Chain(self.ring, middle, self.last))
        for chain in chains:
            self.ring.chain_from[chain.first] = chain
        return chains

    def errors_of(self, start: F64, end: F64) -> tuple[float, float]:
        """Areas that an edge from `start` to `end` leaves out of the part, and adds to it."""
        path = np.concatenate([[start], self.ring.doubled[self.first : self.last + 1], [end]])
        if np.array_equal(start, end):
            return ring_area(path), 0.0
        return _areas_beside(*_frame(path, start, end))


class _Ring:
    """A ring under refinement: the chains between its kept points, three or four at first."""

    def __init__(self, points: F64) -> None:
        self.size = len(points)
        self.doubled = np.concatenate([points, points])
        self._low, self._high = points.min(axis=0), points.max(axis=0)
        far = int(np.argmax(((points - points[0]) ** 2).sum(axis=1)))
        self.chain_from: dict[int, _Chain] = {}
        for half in (_Chain(self, 0, far), _Chain(self, far, self.size)):
            self.chain_from[half.first] = half
            if not half.is_edge:
                half.split()
        self.chains = tuple(self.chain_from.values())

    @property
    def points(self) -> int:
        return len(self.chain_from)

    def errors(self) -> tuple[float, float]:
        """Areas that the polygon leaves out of the part, and adds to it."""
        polygon = self.polygon()
        ends = np.roll(polygon, -1, axis=0)
        chains = [self.chain_from[first] for first in sorted(self.chain_from)]
        missing = added = 0.0
        for chain, start, end in zip(chains, polygon, ends, strict=True):
            out, over = chain.errors_of(start, end)
            missing, added = missing + out, added + over
        return missing, added

    def polygon(self) -> F64:
        """The kept points, moved to where the shifted edges meet, within the ring's bounds."""
        chains = [self.chain_from[first] for first in sorted(self.chain_from)]
        kept = self.doubled[[chain.first for chain in chains]]
        edge = np.roll(kept, -1, axis=0) - kept
        ahead = edge / np.maximum(np.hypot(edge[:, 0], edge[:, 1]), 1e-9)[:, np.newaxis]
        shift = np.array([chain.shift for chain in chains])
        aside = np.column_stack([-ahead[:, 1], ahead[:, 0]]) * shift[:, np.newaxis]
        # Edge k - 1 and edge k meet in point k.
        behind, before = np.roll(ahead, 1, axis=0), np.roll(aside, 1, axis=0)
        sine = _cross(behind, ahead)
        turns = np.abs(sine) > _SMALLEST_TURN
        way = np.where(turns, _cross(aside - before, ahead) / np.where(turns, sine, 1.0), 0.0)
        move = np.where(
            turns[:, np.newaxis], before + behind * way[:, np.newaxis], (aside + before) / 2
        )
        # A sharp corner must not run away.
        reach = 2.0 * np.maximum(np.abs(shift), np.abs(np.roll(shift, 1))) + 0.5
        far = np.maximum(np.hypot(move[:, 0], move[:, 1]) / reach, 1.0)
        moved = kept + move / far[:, np.newaxis]
        return np.asarray(np.clip(moved, self._low, self._high), np.float64)


def _frame(path: F64, start: F64, end: F64) -> tuple[F64, F64]:
    """Coordinates of a path along the line from `start` to `end`, and to its side, in pixels."""
    way = end - start
    along, aside = np.array([[way[0], way[1]], [-way[1], way[0]]]) @ (path - start).T
    length = np.hypot(way[0], way[1])
    return along / length, aside / length


def _areas_beside(along: F64, aside: F64) -> tuple[float, float]:
    """Areas between a path and the line that `along` runs on: where `aside` is above 0, and below.

    Rings have their part on the left as displayed, so that what is above 0 is missing from it.
    """
    width = np.abs(np.diff(along)) / 2.0
    a, b = aside[:-1], aside[1:]
    # Where the path crosses the line, there are two triangles instead of a trapezium.
    crossing = a * b < 0.0
    span = np.where(crossing, np.abs(a) + np.abs(b), 1.0)
    above_a, above_b = np.maximum(a, 0.0), np.maximum(b, 0.0)
    above = np.where(crossing, (above_a**2 + above_b**2) / span, above_a + above_b)
    below_a, below_b = above_a - a, above_b - b
    below = np.where(crossing, (below_a**2 + below_b**2) / span, below_a + below_b)
    return float(np.dot(above, width)), float(np.dot(below, width))


def _cross(a: F64, b: F64) -> F64:
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.float64)


def _keyhole(outer: F64, holes: list[F64]) -> F64:
    """Join holes to the outline, the nearest first, by a slit there and back."""
    left = list(holes)
    while left:
        gaps = [((outer[:, np.newaxis] - hole[np.newaxis]) ** 2).sum(axis=2) for hole in left]
        nearest = int(np.argmin([gap.min() for gap in gaps]))
        hole, gap = left.pop(nearest), gaps[nearest]
        at, into = (int(v) for v in np.unravel_index(int(np.argmin(gap)), gap.shape))
        turned = np.roll(hole, -into, axis=0)
        outer = np.concatenate([outer[: at + 1], turned, turned[:1], outer[at:]])
    return outer
