"""100 instances of a 4000x3000 photo, drawn from a seed."""

from __future__ import annotations

import numpy as np

WIDTH, HEIGHT, INSTANCES, CELLS = 4000, 3000, 100, 28


def instances() -> tuple[np.ndarray, np.ndarray]:
    """Boxes f32 [100, 4] in pixels of the photo, masks f32 [100, 28, 28]."""
    random = np.random.default_rng(100)
    size = random.uniform(150, 1200, (INSTANCES, 2))
    corner = random.uniform(0, 1, (INSTANCES, 2)) * ([WIDTH, HEIGHT] - size)
    ys, xs = (np.mgrid[:CELLS, :CELLS] + 0.5) / CELLS * 2 - 1
    angle, radius = np.arctan2(ys, xs), np.hypot(xs, ys)
    waves, phase = random.integers(2, 7, INSTANCES), random.uniform(0, 6.3, INSTANCES)
    border = 0.8 + 0.15 * np.sin(waves[:, None, None] * angle + phase[:, None, None])
    masks = 1 / (1 + np.exp((radius - border) * 12))
    return np.hstack([corner, corner + size]).astype(np.float32), masks.astype(np.float32)
