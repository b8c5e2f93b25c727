"""Drawn scenes as arrays: what the network sees, and what it shall answer."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.demo.scenes import CATEGORIES, Instance, Scene, draw_scene

#: Width and height of the drawn scenes, several shapes.
SIZES = ((384, 256), (320, 320), (400, 256), (352, 264))
MAX_INSTANCES = 8
MASK_SIDE = 32

CATEGORY_IDS = tuple(CATEGORIES)


@dataclass(frozen=True)
class Example:
    """`pixels` u8 [H,W,3]; the rest has MAX_INSTANCES rows, `count` of them real.

    `boxes` f32 (ymin, xmin, ymax, xmax as fractions), `classes` i32 index into CATEGORY_IDS,
    `masks` f32 [MASK_SIDE,MASK_SIDE]: the share of each cell of the box that the mask covers.
    """

    pixels: npt.NDArray[np.uint8]
    boxes: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int32]
    masks: npt.NDArray[np.float32]
    count: int


def draw_examples(seeds: range, processes: int = 2) -> list[Example]:
    """One example a seed, in their order."""
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(_draw_example, seeds, chunksize=32))


def _draw_example(seed: int) -> Example:
    return _example(draw_scene(seed, *SIZES[seed % len(SIZES)]))


def _example(scene: Scene) -> Example:
    height, width = scene.pixels.shape[:2]
    boxes = np.zeros((MAX_INSTANCES, 4), np.float32)
    classes = np.zeros(MAX_INSTANCES, np.int32)
    masks = np.zeros((MAX_INSTANCES, MASK_SIDE, MASK_SIDE), np.float32)
    for i, instance in enumerate(scene.instances):
        x1, y1, x2, y2 = instance.box_xyxy_px
        boxes[i] = y1 / height, x1 / width, y2 / height, x2 / width
        classes[i] = CATEGORY_IDS.index(instance.category_id)
        masks[i] = _mask_in_box(instance)
    return Example(scene.pixels, boxes, classes, masks, len(scene.instances))


def _mask_in_box(instance: Instance) -> npt.NDArray[np.float32]:
    """Areas of the mask within the cells of its box, by sums over the mask from its corner on."""
    x1, y1, x2, y2 = instance.box_xyxy_px
    mask = instance.mask[y1:y2, x1:x2]
    sums = np.zeros((y2 - y1 + 1, x2 - x1 + 1))
    sums[1:, 1:] = mask.cumsum(axis=0).cumsum(axis=1)
    rows, columns = (np.linspace(0, side, MASK_SIDE + 1) for side in mask.shape)
    down = np.array([np.interp(rows, np.arange(len(sums)), line) for line in sums.T]).T
    grid = np.array([np.interp(columns, np.arange(sums.shape[1]), line) for line in down])
    cell = (rows[1] - rows[0]) * (columns[1] - columns[0])
    return (np.diff(np.diff(grid, axis=0), axis=1) / cell).astype(np.float32)
