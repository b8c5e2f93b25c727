"""Mask -> rings along its pixel edges.

Border following (Suzuki and Abe 1985, as in OpenCV) visits the centres of the border pixels; here
each step of it is replaced by the pixel edges that it passes, so that rings are exact: the area
within them is the number of pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop

F64 = npt.NDArray[np.float64]

# The eight directions, clockwise as displayed (y down): E, SE, S, SW, W, NW, N, NE.
_STEPS = ((1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1))
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
    x, y = ring[:, 0], ring[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2.0


def trace(mask: MaskCrop) -> list[Part]:
    """All parts of a mask, the largest first; none for an empty mask."""
    if mask.pixels.size == 0 or not mask.pixels.any():
        return []
    found, hierarchy = cv2.findContours(
        mask.pixels.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE, offset=(mask.x, mask.y)
    )
    outers: dict[int, F64] = {}
    holes: dict[int, list[F64]] = {}
    for index, (contour, links) in enumerate(zip(found, hierarchy[0], strict=True)):
        ring = _pixel_edges(np.asarray(contour, np.int32).reshape(-1, 2))
        parent = int(links[3])
        if parent < 0:
            outers[index] = ring
        else:
            holes.setdefault(parent, []).append(ring)
    parts = [Part(ring, tuple(holes.get(index, ()))) for index, ring in outers.items()]
    return sorted(parts, key=lambda part: -part.area)


def _side_table() -> npt.NDArray[np.int64]:
    """[8, 8, 4, 2]: corner offsets of the sides passed between a step in and a step out; else -1.

    Standing on a pixel, the border follower turns anticlockwise from where it came to where it
    goes; the sides it turns over are those that touch the outside.
    """
    table = np.full((8, 8, 4, 2), -1, np.int64)
    for came in range(8):
        for goes in range(8):
            back = (came + 4) % 8
            turn = (back - goes) % 8 or 8
            passed = [(back - k) % 8 for k in range(1, turn)]
            for slot, side in enumerate(side for side in passed if side in _CORNERS):
                table[came, goes, slot] = _CORNERS[side]
    return table


_SIDES = _side_table()
_DIRECTION = np.zeros((3, 3), np.int64)
for _index, (_dx, _dy) in enumerate(_STEPS):
    _DIRECTION[_dy + 1, _dx + 1] = _index


def _pixel_edges(pixels: npt.NDArray[np.int32]) -> F64:
    """Border pixels [n, 2] in walking order -> corners of the pixel edges passed, [m, 2]."""
    if len(pixels) == 1:
        corners = pixels[0] + np.array([_CORNERS[side] for side in (4, 2, 0, 6)])
        return np.asarray(corners, np.float64)
    step = np.roll(pixels, -1, axis=0) - pixels
    goes = _DIRECTION[step[:, 1] + 1, step[:, 0] + 1]
    sides = _SIDES[np.roll(goes, 1), goes]
    corners = (pixels[:, np.newaxis, :] + sides)[sides[:, :, 0] >= 0]
    before = corners - np.roll(corners, 1, axis=0)
    after = np.roll(corners, -1, axis=0) - corners
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    back = (before * after).sum(axis=1) < 0
    return np.asarray(corners[turns | back], np.float64)
