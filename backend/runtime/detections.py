"""The types that flow from the engine to whoever draws, counts or writes regions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class MaskCrop:
    """One part of the image where an instance is.

    `x`, `y`: column and row of the crop's first pixel in the image; `pixels`: bool [h, w].
    An instance without a pixel has a crop of size 0.
    """

    x: int
    y: int
    pixels: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.pixels.ndim != 2 or self.pixels.dtype != np.bool_:
            raise ValueError(
                f"a mask crop must be bool [h, w], but got {self.pixels.dtype} {self.pixels.shape}"
            )

    @property
    def area(self) -> int:
        """Number of pixels of the instance."""
        return int(np.count_nonzero(self.pixels))

    def trimmed(self) -> MaskCrop:
        """The same mask in the smallest crop that holds it."""
        rows = np.flatnonzero(self.pixels.any(axis=1))
        if rows.size == 0:
            return MaskCrop(self.x, self.y, np.zeros((0, 0), np.bool_))
        columns = np.flatnonzero(self.pixels.any(axis=0))
        top, left = int(rows[0]), int(columns[0])
        pixels = self.pixels[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
        return MaskCrop(self.x + left, self.y + top, np.ascontiguousarray(pixels))


@dataclass(frozen=True, eq=False)
class Detections:
    """What a model found in one image of `width` x `height` pixels, as displayed.

    `boxes_xyxy_px` f32 [N, 4]: left, top, right, bottom as pixel edges, inside the image;
    `scores` f32 [N], descending; `labels` i64 [N]: index into the contract's label list;
    `masks`: N crops, or None for a pure detector. Nothing found is N = 0.
    """

    width: int
    height: int
    boxes_xyxy_px: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    masks: Sequence[MaskCrop] | None = field(default=())

    def __post_init__(self) -> None:
        n = len(self.scores)
        shapes = (self.boxes_xyxy_px.shape, self.scores.shape, self.labels.shape)
        if shapes != ((n, 4), (n,), (n,)):
            raise ValueError(f"expected boxes [N,4], scores [N], labels [N], but got {shapes}")
        if self.masks is not None and len(self.masks) != n:
            raise ValueError(f"expected {n} masks, but got {len(self.masks)}")
        if n and not (np.isfinite(self.boxes_xyxy_px).all() and np.isfinite(self.scores).all()):
            raise ValueError("boxes and scores must be finite")
        if np.any(np.diff(self.scores) > 0):
            raise ValueError("scores must be descending")

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, score: float) -> Detections:
        """Those with a score of at least `score`."""
        n = int(np.count_nonzero(self.scores >= score))
        return Detections(
            self.width,
            self.height,
            self.boxes_xyxy_px[:n],
            self.scores[:n],
            self.labels[:n],
            None if self.masks is None else self.masks[:n],
        )
