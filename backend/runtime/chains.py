"""Stretches of rings, measured many at a time.

A ring's polygon has one edge for each chain, the stretch of the ring between two kept points. The
edge lies parallel to the chain's chord, moved to the side so that it leaves out as much area as it
adds. Ring points are whole numbers, so that coordinates along a chord and beside it, times the
chord's length, are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from backend.runtime.outlines import ring_area

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
_SMALLEST_TURN = 0.15  # sine; edges in almost one line have no sharp meeting point
_NOTHING = 1e-300  # keeps a division by 0 from being one, and no other


@dataclass(slots=True, eq=False)
class Chain:
    """Points `first` to `last` of the doubled ring, first < last, counted through all rings.

    `shift`: pixels that its edge is moved to the side; `error`: area between it and the ring, on
    both sides; `chord_error`: the same without the move; `middle`: the kept point if it is split.
    """

    outline: Outline
    first: int
    last: int
    shift: float
    error: float
    chord_error: float
    middle: int
    halves: tuple[Chain, Chain] | None = None

    @property
    def is_edge(self) -> bool:
        """Whether nothing lies between the two points."""
        return self.last - self.first < 2


@dataclass(slots=True, eq=False)
class Outline:
    """The chains of a ring by their first point; `ring`: its index."""

    ring: int
    chains: dict[int, Chain] = field(default_factory=dict)

    def replace(self, chain: Chain) -> None:
        """Put the halves of a chain, which has been split, in its place."""
        assert chain.halves is not None  # noqa: S101 - the caller has looked
        for half in chain.halves:
            self.chains[half.first] = half

    def in_order(self) -> list[Chain]:
        """The chains as the ring runs."""
        return [self.chains[first] for first in sorted(self.chains)]


class RingPoints:
    """The points of many rings, each ring twice in a row."""

    def __init__(self, rings: Sequence[F64]) -> None:
        """`rings` f64 [n, 2], whole numbers, as `Part` has them."""
        self.rings = rings
        self.sizes = np.array([len(ring) for ring in rings], np.int64)
        self.starts = 2 * (np.cumsum(self.sizes) - self.sizes)
        doubled = [ring for ring in rings for _ in range(2)]
        xy = np.concatenate(doubled) if doubled else np.zeros((0, 2))
        self.x, self.y = np.ascontiguousarray(xy.T)
        self.bounds: tuple[F64, F64, F64, F64] = (
            np.minimum.reduceat(self.x, self.starts) if doubled else self.x,
            np.maximum.reduceat(self.x, self.starts) if doubled else self.x,
            np.minimum.reduceat(self.y, self.starts) if doubled else self.y,
            np.maximum.reduceat(self.y, self.starts) if doubled else self.y,
        )

    def start_outlines(self) -> list[Outline]:
        """Each ring's outline at first: three or four chains, less for the smallest rings."""
        if not self.rings:
            return []
        index, offsets, ring = _ragged(self.starts, self.starts + self.sizes - 1)
        dx = self.x[index] - self.x[self.starts][ring]
        dy = self.y[index] - self.y[self.starts][ring]
        far = self.starts + _argmax(dx * dx + dy * dy, offsets, ring)
        outlines = [Outline(ring) for ring in range(len(self.rings))]
        halves = self._measure(
            [outline for outline in outlines for _ in range(2)],
            np.column_stack([self.starts, far]).ravel(),
            np.column_stack([far, self.starts + self.sizes]).ravel(),
        )
        for half in halves:
            half.outline.chains[half.first] = half
        splittable = [half for half in halves if not half.is_edge]
        self.split(splittable)
        for half in splittable:
            half.outline.replace(half)
        return outlines

    def split(self, chains: Sequence[Chain]) -> None:
        """Give each chain, none of them an edge, its halves."""
        if not chains:
            return
        borders = np.array([(c.first, c.middle, c.last) for c in chains])
        halves = self._measure(
            [chain.outline for chain in chains for _ in range(2)],
            borders[:, :2].ravel(),
            borders[:, 1:].ravel(),
        )
        for chain, first, second in zip(chains, halves[::2], halves[1::2], strict=True):
            chain.halves = (first, second)

    def _measure(self, outlines: Sequence[Outline], first: I64, last: I64) -> list[Chain]:
        index, offsets, chain = _ragged(first, last)
        x1, y1 = self.x[first], self.y[first]
        way_x, way_y = self.x[last] - x1, self.y[last] - y1
        square = way_x * way_x + way_y * way_y  # of the chord's length
        dx, dy = self.x[index] - x1[chain], self.y[index] - y1[chain]
        along_x, along_y = way_x[chain], way_y[chain]
        along = dx * along_x + dy * along_y
        aside = dy * along_x - dx * along_y
        beyond = along - np.minimum(np.maximum(along, 0.0), square[chain])
        middle = _argmax(aside * aside + beyond * beyond, offsets, chain)
        # What follows counts steps from a point to the next one of the same chain.
        width = along[1:] - along[:-1]
        width[offsets[1:] - 1] = 0.0
        scale = 2.0 * np.maximum(square, _NOTHING)
        shift = np.add.reduceat((aside[:-1] + aside[1:]) * width, offsets) / scale
        width = np.abs(width)
        chord_error = np.add.reduceat(_trapezia(aside) * width, offsets) / scale
        # `shift` is in pixels times the chord's length here, as `aside` is.
        aside -= shift[chain]
        error = np.add.reduceat(_trapezia(aside) * width, offsets) / scale
        shift /= np.sqrt(np.maximum(square, _NOTHING))
        for k in (square == 0.0).nonzero()[0].tolist():  # a ring that touches itself
            begin, end = int(first[k]), int(last[k]) + 1
            loop = np.column_stack([self.x[begin:end], self.y[begin:end]])
            shift[k], error[k], chord_error[k] = 0.0, ring_area(loop), ring_area(loop)
            middle[k] = np.argmax(((loop - loop[0]) ** 2).sum(axis=1))
        middle = np.minimum(np.maximum(first + middle, first + 1), last - 1)
        columns = (first, last, shift, error, chord_error, middle)
        return [
            Chain(outline, *values)
            for outline, *values in zip(outlines, *(c.tolist() for c in columns), strict=True)
        ]


def outline_polygons(points: RingPoints, outlines: Sequence[Outline]) -> list[F64]:
    """The polygon [n, 2] of each outline: kept points, moved to where shifted edges meet."""
    if not outlines:
        return []
    edges = _Edges(points, outlines)
    xy = np.column_stack([edges.x, edges.y])
    stops = np.cumsum(edges.counts).tolist()
    return [xy[a:b] for a, b in zip([0, *stops[:-1]], stops, strict=True)]


def outline_errors(
    points: RingPoints, figures: Sequence[Sequence[Outline]]
) -> list[tuple[float, float]]:
    """Areas that each figure's polygons leave out of its part, and add to it."""
    if not figures:
        return []
    edges = _Edges(points, [outline for figure in figures for outline in figure])
    missing, added = edges.errors()
    sizes = [sum(len(outline.chains) for outline in figure) for figure in figures]
    starts = np.cumsum([0, *sizes[:-1]])
    missing, added = np.add.reduceat(missing, starts), np.add.reduceat(added, starts)
    return list(zip(missing.tolist(), added.tolist(), strict=True))


class _Edges:
    """The edges of many outlines. `x`, `y` f64 [edges]: where each edge begins; it ends at the
    `after` one of the same outline; `counts`: edges of each outline."""

    def __init__(self, points: RingPoints, outlines: Sequence[Outline]) -> None:
        self._points = points
        chains = [chain for outline in outlines for chain in outline.in_order()]
        self.counts = np.array([len(outline.chains) for outline in outlines])
        self.first = np.array([chain.first for chain in chains])
        self.last = np.array([chain.last for chain in chains])
        shift = np.array([chain.shift for chain in chains])
        stops = np.cumsum(self.counts)
        number = np.arange(len(chains))
        self.after, before = number + 1, number - 1
        self.after[stops - 1] = stops - self.counts
        before[stops - self.counts] = stops - 1
        kept_x, kept_y = points.x[self.first], points.y[self.first]
        move_x, move_y = self._moves(kept_x, kept_y, shift, before)
        ring = np.repeat([outline.ring for outline in outlines], self.counts)
        low_x, high_x, low_y, high_y = (bound[ring] for bound in points.bounds)
        self.x = np.minimum(np.maximum(kept_x + move_x, low_x), high_x)
        self.y = np.minimum(np.maximum(kept_y + move_y, low_y), high_y)

    def _moves(self, x: F64, y: F64, shift: F64, before: I64) -> tuple[F64, F64]:
        """From the kept points to where their two edges meet, as they are shifted."""
        edge_x, edge_y = x[self.after] - x, y[self.after] - y
        length = np.maximum(np.hypot(edge_x, edge_y), 1e-9)
        ahead_x, ahead_y = edge_x / length, edge_y / length
        aside_x, aside_y = -ahead_y * shift, ahead_x * shift
        behind_x, behind_y = ahead_x[before], ahead_y[before]
        before_x, before_y = aside_x[before], aside_y[before]
        sine = behind_x * ahead_y - behind_y * ahead_x
        turns = np.abs(sine) > _SMALLEST_TURN
        cross = (aside_x - before_x) * ahead_y - (aside_y - before_y) * ahead_x
        way = cross / np.where(turns, sine, 1.0)
        move_x = np.where(turns, before_x + behind_x * way, (aside_x + before_x) / 2)
        move_y = np.where(turns, before_y + behind_y * way, (aside_y + before_y) / 2)
        # A sharp corner must not run away.
        size = np.abs(shift)
        reach = 2.0 * np.maximum(size, size[before]) + 0.5
        far = np.maximum(np.hypot(move_x, move_y) / reach, 1.0)
        return move_x / far, move_y / far

    def errors(self) -> tuple[F64, F64]:
        """Area of each chain that its edge leaves out of the part, and that it adds."""
        count = len(self.first)
        end_x, end_y = self.x[self.after], self.y[self.after]
        x = np.concatenate([self._points.x, self.x, end_x])
        y = np.concatenate([self._points.y, self.y, end_y])
        # From the edge's begin along the chain to the edge's end.
        index, offsets, chain = _ragged(self.first - 1, self.last + 1)
        index[offsets] = len(self._points.x) + np.arange(count)
        index[np.append(offsets[1:], len(index)) - 1] = (
            len(self._points.x) + count + np.arange(count)
        )
        way_x, way_y = end_x - self.x, end_y - self.y
        square = way_x * way_x + way_y * way_y
        dx, dy = x[index] - self.x[chain], y[index] - self.y[chain]
        along_x, along_y = way_x[chain], way_y[chain]
        along = dx * along_x + dy * along_y
        aside = dy * along_x - dx * along_y
        width = np.abs(along[1:] - along[:-1])
        width[offsets[1:] - 1] = 0.0
        scale = 4.0 * np.maximum(square, _NOTHING)
        both = np.add.reduceat(_trapezia(aside) * width, offsets) / scale
        more = np.add.reduceat((aside[:-1] + aside[1:]) * width, offsets) / scale
        # Rings have their part on the left as displayed: what is above 0 is missing from it.
        missing, added = both + more, both - more
        for k in (square == 0.0).nonzero()[0].tolist():
            stop = int(offsets[k + 1]) if k + 1 < count else len(index)
            at = index[offsets[k] : stop]
            missing[k], added[k] = ring_area(np.column_stack([x[at], y[at]])), 0.0
        return missing, added


def _trapezia(aside: F64) -> F64:
    """Twice the area between a path and its line over each step of width 1, on both sides of it.

    `aside` [n] -> [n - 1]. Where the path crosses the line, there are two triangles instead of a
    trapezium.
    """
    size = np.abs(aside)
    total = size[:-1] + size[1:]
    crossed = np.minimum(aside[:-1] * aside[1:], 0.0)
    crossed /= np.maximum(total, _NOTHING)
    return total + 2.0 * crossed


def _ragged(first: I64, last: I64) -> tuple[I64, I64, I64]:
    """Indices first..last of many stretches one after the other, where each stretch begins among
    them, and the number of the stretch that each belongs to."""
    sizes = last - first + 1
    offsets = sizes.cumsum() - sizes
    stretch = np.arange(len(sizes)).repeat(sizes)
    index = np.arange(len(stretch)) + (first - offsets)[stretch]
    return index, offsets, stretch


def _argmax(values: F64, offsets: I64, stretch: I64) -> I64:
    """Of each stretch the place of its largest value within it, the first of several."""
    largest: I64 = (values == np.maximum.reduceat(values, offsets)[stretch]).nonzero()[0]
    first: I64 = largest[stretch[largest].searchsorted(np.arange(len(offsets)))]
    return first - offsets
