"""Prompts of annotators -> the instance that is meant, as one prediction."""

from __future__ import annotations

import logging
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock
from typing import Any

from backend.config_plan import ConfigPlan
from backend.image_results import FLOOR_SCORE, ImageResults
from backend.labelstudio.prompt_plan import likely_labels, prompt_targets
from backend.labelstudio.prompts import Prompts
from backend.labelstudio.regions import Region, RegionOptions, build_regions
from backend.runtime.detections import Detections
from backend.runtime.engine import Engine
from backend.runtime.image import DecodedImage
from backend.runtime.prompt_choice import Choice, PixelPrompts, choose_instance
from backend.runtime.zoom import Window, detect_within, joined, picked, window_around

log = logging.getLogger("labelvino")

_REMEMBERED_WINDOWS = 64
# Of the image's sides: where nothing is found, and where what is found has another label.
_HALF, _QUARTER = 0.5, 0.25


class Prompter:
    """Answers prompts with one model; may be called from any thread."""

    def __init__(
        self,
        engine: Engine,
        results: ImageResults,
        options: RegionOptions,
        max_detections: int,
        *,
        closer_looks: bool = True,
    ) -> None:
        """`closer_looks`: run the model again around a prompt where there is a doubt."""
        self._closer_looks = closer_looks
        self._engine = engine
        self._results = results
        self._options = options
        self._max_detections = max_detections
        self._windows: OrderedDict[tuple[str, Window], Detections] = OrderedDict()
        self._lock = Lock()

    def answer(
        self, task: Mapping[str, Any], plan: ConfigPlan, prompts: Prompts, deadline: float
    ) -> list[Region]:
        """The regions of the instance that is meant; none where nothing meets the prompts.

        What the model has found in the whole image is asked first, from the cache; where that
        leaves a doubt, the model looks closer around the prompts. Raises LabelvinoError.
        """
        names = self._engine.contract.label_names
        tag = next((i for i in plan.config.images if i.name == prompts.to_name), None)
        if tag is None:
            log.warning("a prompt is for '%s', which is no image of the config", prompts.to_name)
            return []
        has_masks = self._engine.contract.mask_frame is not None
        targets = prompt_targets(plan.config, prompts, names, has_masks=has_masks)
        for note in targets.notes:
            log.warning("%s", note)
        if targets.is_empty:
            return []
        data = task.get("data")
        urls = tag.addresses(data if isinstance(data, Mapping) else {})
        index = prompts.item_index or 0
        if index >= len(urls):
            return []
        task_id = task.get("id") if isinstance(task.get("id"), int) else None
        labels = likely_labels(plan.config, prompts, names)
        found, choice = self._find(urls[index], prompts, labels, task_id, deadline)
        if choice is None:
            return []
        item = index if tag.is_list else None
        one = picked(found, [choice.index])
        written = build_regions(one, targets, tag.name, self._options, item).regions
        return _with_new_ids(written)

    def _find(
        self,
        url: str,
        prompts: Prompts,
        labels: frozenset[int],
        task_id: int | None,
        deadline: float,
    ) -> tuple[Detections, Choice | None]:
        found = self._results.of_address(url, FLOOR_SCORE, task_id=task_id, deadline=deadline)
        wanted = _in_pixels(prompts, found.width, found.height, labels)
        choice = choose_instance(found, wanted)
        if not self._closer_looks or (choice is not None and choice.is_sure):
            return found, choice
        other_label = choice is not None and not choice.is_meant
        window = window_around(
            wanted.focus, _QUARTER if other_label else _HALF, found.width, found.height
        )
        if window == (0, 0, found.width, found.height):
            return found, choice
        image = self._results.pixels(url, task_id=task_id, deadline=deadline)
        closer = self._look_closer(image, window)
        both = joined(found, closer)
        return both, choose_instance(both, wanted)

    def _look_closer(self, image: DecodedImage, window: Window) -> Detections:
        key = image.digest, window
        with self._lock:
            known = self._windows.get(key)
            if known is not None:
                self._windows.move_to_end(key)
                return known
        found = detect_within(self._engine, image, window, FLOOR_SCORE, self._max_detections)
        with self._lock:
            self._windows[key] = found
            while len(self._windows) > _REMEMBERED_WINDOWS:
                self._windows.popitem(last=False)
        return found


def _in_pixels(prompts: Prompts, width: int, height: int, labels: frozenset[int]) -> PixelPrompts:
    across, down = width / 100, height / 100
    return PixelPrompts(
        tuple((x * across, y * down, positive) for x, y, positive in prompts.points),
        tuple(
            (left * across, top * down, right * across, bottom * down)
            for left, top, right, bottom in prompts.boxes
        ),
        labels,
    )


def _with_new_ids(regions: list[Region]) -> list[Region]:
    """Ids that no other region of the annotation has, which was predicted or prompted before."""
    prefix = secrets.token_hex(4)
    for region in regions:
        region["id"] = f"{prefix}-{region['id']}"
    return regions
