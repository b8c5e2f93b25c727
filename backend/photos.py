"""Predictions for image files, without any Label Studio."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import orjson

from backend.fair_pool import FairPool
from backend.predictor import ConfigPlan, Predictor
from backend.runtime.coco_rle import coco_results
from backend.runtime.detections import Detections
from backend.runtime.errors import ImageError, LabelvinoError, SettingsError
from backend.runtime.image import DecodedImage, ImageLimits, decode_image
from backend.runtime.overlay import draw_overlay, encode_png

OutputFormat = Literal["label-studio", "coco"]
PREDICTIONS_FILE = "predictions.json"
_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})


@dataclass
class PhotoReport:
    """What came of a run, in the photos' order; `failed`: photo and reason."""

    entries: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    detections: int = 0
    failed: list[tuple[Path, str]] = field(default_factory=list)

    @property
    def items(self) -> list[dict[str, Any]]:
        """All entries of the output file."""
        return [entry for index in sorted(self.entries) for entry in self.entries[index]]


@dataclass(frozen=True)
class CocoIds:
    """COCO's ids for our names: images by file name, categories by label index."""

    images: dict[str, int]
    categories: tuple[int | None, ...]

    @classmethod
    def read(cls, annotations: Path, labels: tuple[str, ...]) -> CocoIds:
        """Ids of a COCO annotations file. Raises SettingsError for another file."""
        try:
            data = json.loads(annotations.read_bytes())
            images = {str(image["file_name"]): int(image["id"]) for image in data["images"]}
            categories = {str(c["name"]).casefold(): int(c["id"]) for c in data["categories"]}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SettingsError(
                f"{annotations} is not a COCO annotations file with images and categories: "
                f"{type(error).__name__} {error}."
            ) from error
        images |= {Path(name).name: number for name, number in images.items()}
        return cls(images, tuple(categories.get(name.casefold()) for name in labels))


def find_photos(paths: Iterable[Path]) -> list[Path]:
    """Files as given, folders by the images in them. Raises ImageError for what is not there."""
    photos: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
            if not inside:
                raise ImageError(f"there are no images in the folder {path}.")
            photos.extend(inside)
        elif path.is_file():
            photos.append(path)
        else:
            raise ImageError(f"there is no file {path}.")
    return list(dict.fromkeys(photos))


class PhotoRun:
    """One run over many photos, in the threads of a pool."""

    def __init__(
        self,
        predictor: Predictor,
        plan: ConfigPlan,
        out: Path,
        *,
        image_prefix: str = "",
        coco: CocoIds | None = None,
        limits: ImageLimits | None = None,
    ) -> None:
        """`coco`: write COCO results instead of Label Studio's import format and overlays.

        `image_prefix` goes before the file name in each task's address.
        """
        self._predictor = predictor
        self._plan = plan
        self._out = out
        self._prefix = image_prefix
        self._coco = coco
        self._limits = limits
        self._lock = Lock()
        self.report = PhotoReport()

    def run(self, photos: list[Path], pool: FairPool, on_done: Callable[[], None]) -> PhotoReport:
        """Predict all photos; a photo that fails is reported, and the others go on."""
        names = _overlay_names(photos)
        jobs = [
            lambda index=index, photo=photo: self._one(index, photo, names[index], on_done)
            for index, photo in enumerate(photos)
        ]
        for outcome in pool.run(jobs):
            if isinstance(outcome, BaseException):
                raise outcome
        return self.report

    def write(self) -> Path:
        """Write all entries there are into the one JSON file, whole or not at all."""
        target = self._out / PREDICTIONS_FILE
        partial = target.with_suffix(".json.partial")
        partial.write_bytes(orjson.dumps(self.report.items, option=orjson.OPT_INDENT_2))
        partial.replace(target)
        return target

    def _one(self, index: int, photo: Path, overlay: str, on_done: Callable[[], None]) -> None:
        try:
            entries, count = self._predict(photo, overlay)
            with self._lock:
                self.report.entries[index] = entries
                self.report.detections += count
        except (LabelvinoError, OSError) as error:
            with self._lock:
                self.report.failed.append((photo, str(error)))
        finally:
            on_done()

    def _predict(self, photo: Path, overlay: str) -> tuple[list[dict[str, Any]], int]:
        image = decode_image(_read(photo, self._limits), self._limits)
        tag = self._plan.config.images[0]
        if self._coco is not None:
            return self._coco_entries(photo, image)
        found = self._predictor.detect(image, self._plan.plans[tag.name])
        shown = found.above(self._plan.plans[tag.name].lowest_threshold)
        self._draw(image, shown, overlay)
        prediction = self._predictor.assemble(self._plan, [(tag, None, found)])
        entry = {
            "data": {tag.field: self._prefix + photo.name},
            "predictions": [prediction.to_json()],
        }
        return [entry], len(shown)

    def _coco_entries(self, photo: Path, image: DecodedImage) -> tuple[list[dict[str, Any]], int]:
        assert self._coco is not None  # noqa: S101 - the caller has looked
        image_id = self._coco.images.get(photo.name)
        if image_id is None:
            raise ImageError(f"{photo.name} is not among the images of the annotations file.")
        tag = self._plan.config.images[0]
        found = self._predictor.detect(image, self._plan.plans[tag.name])
        results = coco_results(found, image_id, self._coco.categories)
        return results, len(results)

    def _draw(self, image: DecodedImage, found: Detections, overlay: str) -> None:
        names = self._predictor.engine.contract.label_names
        picture = encode_png(draw_overlay(image.pixels, found, names))
        (self._out / overlay).write_bytes(picture)


def _read(photo: Path, limits: ImageLimits | None) -> bytes:
    limit = (limits or ImageLimits()).max_bytes
    with photo.open("rb") as file:
        return file.read(limit + 1)


def _overlay_names(photos: list[Path]) -> list[str]:
    """A PNG name for each photo: its stem, with its suffix or a number where stems are equal."""
    names: list[str] = []
    taken: set[str] = set()
    for photo in photos:
        name, number = f"{photo.stem}.png", 1
        while name in taken:
            number += 1
            name = f"{photo.stem}-{number}.png"
        taken.add(name)
        names.append(name)
    return names
