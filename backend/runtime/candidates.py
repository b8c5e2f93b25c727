"""What a model found in one image, before thresholds: from it come detections, as often as asked.

Masks stay as the model gave them and are pasted on demand. So what is kept of an image has the same
size whatever its pixels (docs/adr/0008-result-cache.md has the figures).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.runtime.contract import MaskFrame
from backend.runtime.detections import Detections, MaskCrop
from backend.runtime.masks import MaskCells
from backend.runtime.resize import ResizeGeometry
from backend.runtime.sketches import MasksOnDemand


@dataclass(frozen=True, eq=False)
class Candidates:
    """Instances with a score of at least `floor_score`, best first, at most `limit` of them.

    `boxes_xyxy_px` f32 [N, 4] in pixels of the image; `scores` f32 [N], descending; `labels`
    i64 [N]: index into the contract's label list; `cells`: N raw masks with their `frame`, both
    None for a pure detector. The arrays become read-only: many threads may share them.
    """

    geometry: ResizeGeometry
    frame: MaskFrame | None
    boxes_xyxy_px: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    cells: tuple[MaskCells, ...] | None
    floor_score: float
    limit: int

    def __post_init__(self) -> None:
        n = len(self.scores)
        if (self.frame is None) != (self.cells is None):
            raise ValueError("masks need a frame, and a frame needs masks")
        if n > self.limit or (self.cells is not None and len(self.cells) != n):
            raise ValueError(f"{n} instances of at most {self.limit} do not fit their masks")
        if n and float(self.scores[-1]) < np.float32(self.floor_score):
            raise ValueError("scores must reach the floor")
        for array in (self.boxes_xyxy_px, self.scores, self.labels):
            array.flags.writeable = False
        for cells in self.cells or ():
            cells.probabilities.flags.writeable = False
        width, height = self.geometry.image_width, self.geometry.image_height
        # Shapes, order and finite numbers are checked there.
        Detections(width, height, self.boxes_xyxy_px, self.scores, self.labels, None)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def size_bytes(self) -> int:
        """Memory that the arrays take."""
        masks = sum(cells.probabilities.nbytes for cells in self.cells or ())
        return self.boxes_xyxy_px.nbytes + self.scores.nbytes + self.labels.nbytes + masks

    def can_answer(self, min_score: float, max_detections: int) -> bool:
        """Whether `detections` would leave out nothing that the model gave."""
        is_whole = len(self) < self.limit or max_detections <= self.limit
        return min_score >= self.floor_score and is_whole

    def detections(self, min_score: float, max_detections: int) -> Detections:
        """Those with a score of at least `min_score`, best first, their masks pasted on demand.

        Raises ValueError for what cannot be answered from here.
        """
        if not self.can_answer(min_score, max_detections):
            raise ValueError(
                f"asked for {max_detections} from {min_score} on, but there are at most "
                f"{self.limit} from {self.floor_score} on"
            )
        return self._detections(min(max_detections, int(np.sum(self.scores >= min_score))))

    def _detections(self, n: int) -> Detections:
        masks: Sequence[MaskCrop] | None = None
        if self.cells is not None and self.frame is not None:
            boxes = self.boxes_xyxy_px[:n]
            masks = MasksOnDemand(self.cells[:n], boxes, self.geometry, self.frame) if n else ()
        return Detections(
            self.geometry.image_width,
            self.geometry.image_height,
            self.boxes_xyxy_px[:n],
            self.scores[:n],
            self.labels[:n],
            masks,
        )
