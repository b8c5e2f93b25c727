"""Annotated tasks -> a COCO file and its images, page after page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import orjson

from backend.corrections.export.categories import Categories
from backend.corrections.export.coco_instances import Segmentation, coco_annotation
from backend.corrections.export.file_names import image_file_name
from backend.corrections.export.outcome import ExportReport
from backend.corrections.history import AnnotatedTask
from backend.corrections.instances import Instance, read_instances
from backend.fair_pool import FairPool
from backend.image_results import ImageSource
from backend.labelstudio.label_config import LabelConfig
from backend.runtime.errors import ImageError, LabelvinoError
from backend.runtime.image import DecodedImage, ImageLimits, decode_image

INSTANCES_FILE = "instances.json"
IMAGES_FOLDER = "images"

Place = tuple[str, int]
"""Of an image: name of its tag, place in a multi-image task (else 0)."""


@dataclass(frozen=True)
class CocoOptions:
    """`with_images`: write them, too."""

    segmentation: Segmentation = "as-drawn"
    with_images: bool = False
    limits: ImageLimits = field(default_factory=ImageLimits)


@dataclass(frozen=True, eq=False)
class _Image:
    """One image of a task, and its annotations with their labels."""

    file_name: str
    width: int
    height: int
    is_turned: bool
    annotations: tuple[tuple[str, dict[str, Any]], ...]
    without_pixels: int


@dataclass(frozen=True, eq=False)
class _Task:
    images: tuple[_Image, ...]
    unread: tuple[str, ...]


class CocoExport:
    """Collects images and annotations. Image files are written as they come, the JSON file last
    and whole: an export that is broken off leaves the one of before."""

    def __init__(
        self,
        out: Path,
        config: LabelConfig,
        categories: Categories,
        source: ImageSource,
        pool: FairPool,
        options: CocoOptions,
        report: ExportReport,
    ) -> None:
        self.out = out
        self._tags = [
            image
            for image in config.images
            if any(control.to_name == image.name for control in config.controls)
        ]
        self._categories = categories
        self._source = source
        self._pool = pool
        self._options = options
        self._report = report
        self._images: list[dict[str, Any]] = []
        self._annotations: list[dict[str, Any]] = []
        out.mkdir(parents=True, exist_ok=True)
        if options.with_images:
            (out / IMAGES_FOLDER).mkdir(exist_ok=True)

    def add(self, tasks: Sequence[AnnotatedTask]) -> None:
        """Several at once; a task whose image cannot be had is left out, with the reason."""
        outcomes = self._pool.run([partial(self._read, task) for task in tasks])
        for task, outcome in zip(tasks, outcomes, strict=True):
            if isinstance(outcome, _Task):
                self._keep(task, outcome)
            elif isinstance(outcome, LabelvinoError):
                self._report.failed.append((task.task_id, str(outcome)))
            else:
                raise outcome

    def write(self) -> Path:
        """The JSON file; twice the same where nothing has changed."""
        content = {
            "info": {"description": f"Label Studio project {self._report.project}"},
            "licenses": [],
            "images": self._images,
            "annotations": self._annotations,
            "categories": self._categories.to_json(),
        }
        target = self.out / INSTANCES_FILE
        _write_whole(target, orjson.dumps(content))
        return target

    def _keep(self, task: AnnotatedTask, found: _Task) -> None:
        report = self._report
        report.tasks += 1
        report.unread += [(task.task_id, reason) for reason in found.unread]
        for image in found.images:
            number = len(self._images) + 1
            self._images.append(
                {
                    "id": number,
                    "file_name": image.file_name,
                    "width": image.width,
                    "height": image.height,
                    "task_id": task.task_id,
                }
            )
            report.images += 1
            report.turned += image.is_turned
            report.without_pixels += image.without_pixels
            for label, annotation in image.annotations:
                if not label:
                    report.without_label += 1
                    continue
                category = self._categories.of(label)
                report.labels[category.name] += 1
                ids = {"id": len(self._annotations) + 1, "image_id": number}
                self._annotations.append(ids | {"category_id": category.id} | annotation)

    def _read(self, task: AnnotatedTask) -> _Task:
        """Raises FetchError or ImageError."""
        reading = read_instances(task.result)
        unread = list(reading.unread)
        by_place: dict[Place, list[Instance]] = {}
        for instance in reading.instances:
            place = instance.frame.to_name, instance.frame.item_index
            by_place.setdefault(place, []).append(instance)
        images = []
        for index, (place, address) in enumerate(self._addresses(task)):
            instances = by_place.pop(place, [])
            name = image_file_name(task.task_id, address, index if self._has_several else None)
            images.append(self._image(task, name, address, instances))
        for to_name, item_index in by_place:
            unread.append(f"the task has no image {item_index} for '{to_name}'")
        return _Task(tuple(images), tuple(unread))

    @property
    def _has_several(self) -> bool:
        """Whether a task may have several images."""
        return len(self._tags) > 1 or any(tag.is_list for tag in self._tags)

    def _addresses(self, task: AnnotatedTask) -> Iterator[tuple[Place, str]]:
        for tag in self._tags:
            for index, address in enumerate(tag.addresses(task.data)):
                yield (tag.name, index), address

    def _image(
        self, task: AnnotatedTask, name: str, address: str, instances: Sequence[Instance]
    ) -> _Image:
        sizes = {(each.frame.width, each.frame.height) for each in instances}
        image: DecodedImage | None = None
        data = b""
        if self._options.with_images or not sizes:  # without a region nothing else has its size
            data = self._source.fetch(address, task_id=task.task_id)
            image = decode_image(data, self._options.limits, lambda _width, _height: (1, 1))
            sizes.add((image.width, image.height))
        if len(sizes) > 1:
            shown = " and ".join(f"{width}x{height}" for width, height in sorted(sizes))
            raise ImageError(
                f"the image and its regions are of different sizes ({shown}): the image was "
                "exchanged, so annotate it again."
            )
        ((width, height),) = sizes
        if self._options.with_images:
            _write_whole(self.out / IMAGES_FOLDER / name, data)
        written = [
            (each.label, coco_annotation(each, task.result, self._options.segmentation))
            for each in instances
        ]
        return _Image(
            name,
            width,
            height,
            image is not None and image.orientation != 1,
            tuple((label, found) for label, found in written if found is not None),
            sum(found is None for _, found in written),
        )


def _write_whole(target: Path, data: bytes) -> None:
    partial_file = target.with_name(target.name + ".partial")
    partial_file.write_bytes(data)
    partial_file.replace(target)
