"""Mask -> polygons with as few points as a wanted overlap takes.

Each ring starts as a coarse figure and is refined where it errs by the largest area (top-down, as
Douglas and Peucker 1973 split, but ordered by area, which is what overlap counts). Its edges are
moved outward or inward until each leaves out as much as it adds, which takes about a quarter
fewer points than edges that end on the outline. A hole starts closed, with its area as its error;
opening it is one more refinement, paid in points.

All figures of an image are refined side by side: each names the stretches that it may split next
and the overlap that it wants to know, and these are measured for all of them at once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import numpy.typing as npt

from backend.runtime.chains import Chain, Outline, RingPoints, outline_errors, outline_polygons
from backend.runtime.detections import MaskCrop
from backend.runtime.outlines import Part, ring_area, trace_all

F64 = npt.NDArray[np.float64]
_KEYHOLE_POINTS = 2  # a hole's slit repeats one point of the hole and one of the outline
_HOLE_START = 4  # points of a ring at first, at the most
_SPLIT_AHEAD = 0.25  # share of the largest error from which on others are split along with it


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
    return polygons_of_all([mask], [detail])[0]


def polygons_of_all(masks: Sequence[MaskCrop], details: Sequence[PolygonDetail]) -> list[list[F64]]:
    """As `polygons`, of many masks at once, which takes a fraction of the time."""
    kept = [
        [part for i, part in enumerate(parts) if i == 0 or part.area >= detail.min_area_px]
        for parts, detail in zip(trace_all(masks), details, strict=True)
    ]
    rings: list[F64] = []
    figures = [
        [_Figure(part, detail, rings) for part in parts]
        for parts, detail in zip(kept, details, strict=True)
    ]
    _refine([figure for of_mask in figures for figure in of_mask], RingPoints(rings))
    return [[figure.polygon for figure in of_mask] for of_mask in figures]


def _refine(figures: list[_Figure], points: RingPoints) -> None:
    """Refine all figures until each has its overlap, or nothing is left to refine."""
    starts = points.start_outlines()
    for figure in figures:
        figure.start(starts)
    open_figures = figures
    while open_figures:
        points.split([chain for figure in open_figures for chain in figure.wanted])
        for figure in open_figures:
            figure.refine()
        asking = [figure for figure in open_figures if figure.asks]
        errors = outline_errors(points, [figure.outlines for figure in asking])
        for figure, (missing, added) in zip(asking, errors, strict=True):
            figure.learn(missing, added)
        open_figures = [figure for figure in open_figures if not figure.done]
    drawn = iter(outline_polygons(points, [o for figure in figures for o in figure.outlines]))
    for figure in figures:
        outer, *holes = [next(drawn) for _ in figure.outlines]
        figure.polygon = _keyhole(outer, holes)


class _Figure:
    """A part's outline and the holes cut into it so far, under refinement.

    `wanted`: chains to be split before it can go on; `asks`: whether it wants to know its overlap;
    `polygon`: what came of it, in the end.
    """

    def __init__(self, part: Part, detail: PolygonDetail, rings: list[F64]) -> None:
        """Appends the part's rings to `rings`."""
        self._detail = detail
        self._area = part.area
        areas = [ring_area(hole) for hole in part.holes]
        self._closed = sum(areas)  # area of holes not cut in
        self._first_ring = len(rings)
        rings.append(part.outer)
        self._holes: list[tuple[float, int]] = []  # area, index of the ring
        for hole, area in zip(part.holes, areas, strict=True):
            if area >= detail.min_area_px:
                self._holes.append((area, len(rings)))
                rings.append(hole)
        self._error = 0.0
        self._hurdle = detail.overlap
        self._estimate = 0.0
        self._heap: list[tuple[float, int, Chain | int]] = []
        self._tickets = count()
        self._points = 0
        self._starts: Sequence[Outline] = ()
        self.outlines: list[Outline] = []
        self.wanted: list[Chain] = []
        self.asks = False
        self.done = False
        self.polygon: F64 = np.zeros((0, 2))

    def start(self, outlines: Sequence[Outline]) -> None:
        """`outlines`: of each ring, as coarse as it starts."""
        self._starts = outlines
        self._cut(self._first_ring)
        for area, ring in self._holes:
            self._push(area, ring)

    def refine(self) -> None:
        """Add points and holes where the chords err by the largest area, until the overlap is to
        be known, chains are to be split, or nothing is left."""
        self.wanted = []
        while self._heap:
            # Edges that are shifted are balanced.
            self._estimate = self._overlap(self._error / 2, self._error / 2)
            if self._estimate >= self._hurdle:
                self.asks = True
                return
            if not self._add():
                return
        self.done = True

    def learn(self, missing: float, added: float) -> None:
        """Take the areas that the polygons leave out of the part, and add to it."""
        self.asks = False
        short = self._detail.overlap - self._overlap(missing, added)
        if short <= 0:
            self.done = True
            return
        # The estimate is too good by about this much.
        self._hurdle = self._estimate + short / 2.0
        self._add()

    def _add(self) -> bool:
        """Do one refinement; False where its chain is to be split first."""
        item = self._heap[0][2]
        if isinstance(item, int):
            area = -heapq.heappop(self._heap)[0]
            if self._points + _HOLE_START + _KEYHOLE_POINTS <= self._detail.max_points:
                self._points += _KEYHOLE_POINTS
                self._closed -= area
                self._cut(item)
            return True
        if self._points < self._detail.max_points and not item.is_edge:
            if item.halves is None:
                least = _SPLIT_AHEAD * item.chord_error
                self.wanted = [
                    chain
                    for error, _, chain in self._heap
                    if -error >= least
                    and isinstance(chain, Chain)
                    and chain.halves is None
                    and not chain.is_edge
                ]
                return False
            self._points += 1
            self._error -= item.error
            heapq.heappop(self._heap)
            item.outline.replace(item)
            self._take(item.halves)
            return True
        heapq.heappop(self._heap)
        return True

    def _overlap(self, missing: float, added: float) -> float:
        return (self._area - missing) / (self._area + added + self._closed)

    def _cut(self, ring: int) -> None:
        outline = self._starts[ring]
        self.outlines.append(outline)
        self._points += len(outline.chains)
        self._take(outline.in_order())

    def _take(self, chains: Iterable[Chain]) -> None:
        for chain in chains:
            self._error += chain.error
            self._push(chain.chord_error, chain)

    def _push(self, area: float, item: Chain | int) -> None:
        heapq.heappush(self._heap, (-area, next(self._tickets), item))


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
