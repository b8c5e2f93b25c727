"""Annotations in COCO's format, as a metric needs them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from backend.runtime.contract import Label
from backend.runtime.errors import MeasurementError


@dataclass(frozen=True)
class TruthImage:
    """An annotated image; `file_name` as the annotations give it, with or without folders."""

    file_name: str
    width: int
    height: int


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Instances by image and category, both by COCO's ids.

    `annotations`: COCO's dicts with the keys id (1, 2, ...), image_id, category_id, bbox, iscrowd,
    area and, where the file has it, segmentation.
    """

    images: dict[int, TruthImage]
    categories: dict[int, str]
    annotations: tuple[dict[str, Any], ...]

    @property
    def has_masks(self) -> bool:
        """Whether every instance has a segmentation."""
        return all(annotation.get("segmentation") for annotation in self.annotations)

    def image_ids_by_name(self) -> dict[str, int]:
        """Ids by the last part of the file name, and by the whole of it.

        A last part that several images share is left out.
        """
        by_name: dict[str, int] = {}
        twice: set[str] = set()
        for image_id, image in self.images.items():
            name = PurePosixPath(image.file_name).name
            if name in by_name:
                twice.add(name)
            by_name[name] = image_id
        short = {name: image_id for name, image_id in by_name.items() if name not in twice}
        return short | {image.file_name: image_id for image_id, image in self.images.items()}

    def subset(self, image_ids: Iterable[int]) -> GroundTruth:
        """Only these images and their instances; all categories stay."""
        kept = {image_id: self.images[image_id] for image_id in sorted(set(image_ids))}
        annotations = tuple(a for a in self.annotations if a["image_id"] in kept)
        return GroundTruth(kept, self.categories, annotations)


def read_ground_truth(path: Path) -> GroundTruth:
    """Raises MeasurementError for a file that is no COCO instances file."""
    try:
        content = json.loads(path.read_bytes())
        images = {
            int(image["id"]): TruthImage(
                str(image["file_name"]), int(image["width"]), int(image["height"])
            )
            for image in content["images"]
        }
        categories = {int(c["id"]): str(c["name"]) for c in content["categories"]}
        annotations = tuple(
            _annotation(i, each) for i, each in enumerate(content["annotations"], start=1)
        )
    except OSError as error:
        raise MeasurementError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MeasurementError(
            f"{path} is not a COCO instances file ({type(error).__name__}: {error}): give a JSON "
            "file with images, annotations and categories."
        ) from error
    stray = {a["image_id"] for a in annotations} - set(images)
    unknown = {a["category_id"] for a in annotations} - set(categories)
    if stray or unknown:
        raise MeasurementError(
            f"{path} has annotations of images {sorted(stray)[:5]} or categories "
            f"{sorted(unknown)[:5]} that it does not list: export it again."
        )
    return GroundTruth(images, categories, annotations)


def _annotation(number: int, given: dict[str, Any]) -> dict[str, Any]:
    """`number`: the new id. pycocotools takes an instance with the id 0 for none at all."""
    x, y, width, height = (float(v) for v in given["bbox"])
    kept = {
        "id": number,
        "image_id": int(given["image_id"]),
        "category_id": int(given["category_id"]),
        "bbox": [x, y, width, height],
        "iscrowd": int(given.get("iscrowd", 0)),
        "area": float(given.get("area", width * height)),
    }
    if given.get("segmentation"):
        kept["segmentation"] = given["segmentation"]
    return kept


def category_ids(labels: Sequence[Label], truth: GroundTruth) -> tuple[int | None, ...]:
    """The truth's category of each of a model's labels, by name; None where it has none.

    Case, spaces, '_' and '-' do not matter. Raises MeasurementError where no label has one.
    """
    known = {_plain(name): category for category, name in truth.categories.items()}
    found = tuple(known.get(_plain(label.name)) for label in labels)
    if not any(category is not None for category in found):
        raise MeasurementError(
            f"none of the model's {len(labels)} labels ({_some(x.name for x in labels)}) is a "
            f"category of the annotations ({_some(truth.categories.values())}): name them alike."
        )
    return found


def _plain(name: str) -> str:
    return re.sub(r"[\s_-]+", " ", name).strip().casefold()


def _some(names: Iterable[str]) -> str:
    first = list(names)
    return ", ".join(first[:5]) + (", ..." if len(first) > 5 else "")
