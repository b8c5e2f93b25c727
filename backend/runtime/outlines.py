"""Mask -> rings along its pixel edges.

Border following (Suzuki and Abe 1985, as in OpenCV) visits the centres of the border pixels; here
each step of it is replaced by the pixel edges that it passes, so that rings are exact: the area
within them is the number of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# The eight directions, clockwise as displayed (y down): E, SE, S, SW, W, NW, N, NE.
_STEPS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
_NO_STEP = 8
# Where the edge of a pixel's side starts when the outside is on the walker's right.
_CORNERS = {4: (0, 0), 2: (0, 1), 0: (1, 1), 6: (1, 0)}


@dataclass(frozen=True, eq=False)
class Part:
    """One connected part (8-neighbourhood) of a mask.

    `outer` f64 [n, 2] and each of `holes` [m, 2]: x, y of pixel edges in the image, without
    collinear points; outer rings run anticlockwise as displayed, holes clockwise.
    """

    outer: F64
    holes: tuple[F64, ...]

    @property
    def area(self) -> float:
        """Pixels of the part."""
        return ring_area(self.outer) - sum(ring_area(hole) for hole in self.holes)


def ring_area(ring: F64) -> float:
    """Unsigned area of a closed ring [n, 2]."""
    if not len(ring):
        return 0.0
    x, y = ring[:, 0], ring[:, 1]
    twice = np.dot(x[:-1], y[1:]) - np.dot(y[:-1], x[1:]) + x[-1] * y[0] - y[-1] * x[0]
    return abs(float(twice)) / 2.0


def trace(mask: MaskCrop) -> list[Part]:
    """All parts of a mask, the largest first; none for an empty mask."""
    return trace_all([mask])[0]


def trace_all(masks: Sequence[MaskCrop]) -> list[list[Part]]:
    """As `trace`, of many masks at once, which costs little more than of one."""
    contours: list[I64] = []
    links: list[npt.NDArray[np.int32]] = []
    for mask in masks:
        found, hierarchy = _contours(mask)
        contours.extend(found)
        links.append(hierarchy)
    rings = iter(_pixel_edges(contours))
    return [_parts([next(rings) for _ in hierarchy], hierarchy) for hierarchy in links]


def _contours(mask: MaskCrop) -> tuple[list[I64], npt.NDArray[np.int32]]:
    """Border pixels of each contour [n, 2], and OpenCV's hierarchy [contours, 4]."""
    if mask.pixels.size == 0:
        return [], np.zeros((0, 4), np.int32)
    found, hierarchy = cv2.findContours(
        mask.pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(mask.x, mask.y)
    )
    if not found:
        return [], np.zeros((0, 4), np.int32)
    return [np.asarray(c, np.int64).reshape(-1, 2) for c in found], np.asarray(
        hierarchy[0], np.int32
    )


def _parts(rings: list[F64], hierarchy: npt.NDArray[np.int32]) -> list[Part]:
    outers: dict[int, F64] = {}
    holes: dict[int, list[F64]] = {}
    for index, (ring, parent) in enumerate(zip(rings, hierarchy[:, 3].tolist(), strict=True)):
        if parent < 0:
            outers[index] = ring
        else:
            holes.setdefault(parent, []).append(ring)
    parts = [Part(ring, tuple(holes.get(index, ()))) for index, ring in outers.items()]
    return sorted(parts, key=lambda part: -part.area) if len(parts) > 1 else parts


def _side_table() -> npt.NDArray[np.int64]:
    """[9, 9, 4, 2]: corner offsets of the sides passed between a step in and a step out; else -1.

    Standing on a pixel, the border follower turns anticlockwise from where it came to where it
    goes; the sides it turns over are those that touch the outside. A part of one pixel has no step.
    """
    table = np.full((9, 9, 4, 2), -1, np.int64)
    for came in range(8):
        for goes in range(8):
            back = (came + 4) % 8
            turn = (back - goes) % 8 or 8
            passed = [(back - k) % 8 for k in range(1, turn)]
            for slot, side in enumerate(side for side in passed if side in _CORNERS):
                table[came, goes, slot] = _CORNERS[side]
    table[_NO_STEP, _NO_STEP] = [_CORNERS[side] for side in (4, 2, 0, 6)]
    return table


_SIDES = _side_table()
_DIRECTION = np.full((3, 3), _NO_STEP, np.int64)
for _index, (_dx, _dy) in enumerate(_STEPS):
    _DIRECTION[_dy + 1, _dx + 1] = _index


def _pixel_edges(contours: list[I64]) -> list[F64]:
    """Border pixels [n, 2] in walking order -> corners of the pixel edges passed, [m, 2] each."""
    if not contours:
        return []
    pixels = np.concatenate(contours)
    before, after = _neighbours(np.array([len(c) for c in contours]))
    step = pixels[after] - pixels
    goes = _DIRECTION[step[:, 1] + 1, step[:, 0] + 1]
    came = goes[before]
    # Straight on along a row or a column, the one corner passed would go again below.
    kept = np.flatnonzero((came != goes) | (goes % 2 == 1) | (goes == _NO_STEP))
    sides = _SIDES[came[kept], goes[kept]]
    passed = sides[:, :, 0] >= 0
    corners = (pixels[kept][:, np.newaxis, :] + sides)[passed]
    ring = np.repeat(np.arange(len(contours)), [len(c) for c in contours])
    ring = np.repeat(ring[kept], passed.sum(axis=1))
    before, after = _neighbours(np.bincount(ring, minlength=len(contours)))
    came_xy, goes_xy = corners - corners[before], corners[after] - corners
    turns = came_xy[:, 0] * goes_xy[:, 1] != came_xy[:, 1] * goes_xy[:, 0]
    back = (came_xy * goes_xy).sum(axis=1) < 0
    turning = np.flatnonzero(turns | back)
    stops = np.cumsum(np.bincount(ring[turning], minlength=len(contours))).tolist()
    points = corners[turning].astype(np.float64)
    return [points[start:stop] for start, stop in zip([0, *stops[:-1]], stops, strict=True)]


def _neighbours(sizes: I64) -> tuple[I64, I64]:
    """Of each point of rings that lie one after the other: its predecessor and its successor."""
    stops = np.cumsum(sizes)
    point = np.arange(int(stops[-1]))
    before, after = point - 1, point + 1
    filled = sizes > 0
    before[(stops - sizes)[filled]] = stops[filled] - 1
    after[stops[filled] - 1] = (stops - sizes)[filled]
    return before, after
