"""Predictions for image files, without any Label Studio."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, Literal
from urllib.parse import quote

import orjson

from backend.config_plan import ConfigPlan
from backend.fair_pool import FairPool
from backend.predictor import Predictor
from backend.runtime.coco_rle import coco_results
from backend.runtime.detections import Detections
from backend.runtime.errors import ImageError, LabelvinoError, SettingsError
from backend.runtime.image import DecodedImage, ImageLimits
from backend.runtime.overlay import draw_overlay, encode_png

log = logging.getLogger("labelvino")

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
        found = tuple(categories.get(name.casefold()) for name in labels)
        if not any(number is not None for number in found):
            raise SettingsError(
                f"{annotations} has none of the model's labels ({', '.join(labels[:5])}, ...): its "
                f"categories are {', '.join(list(categories)[:5])}, ..."
            )
        return cls(images, found)

    def unmatched(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Labels of the model that the annotations do not have."""
        return tuple(
            name for name, number in zip(labels, self.categories, strict=True) if number is None
        )


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
        photos: list[Path],
        out: Path,
        *,
        image_prefix: str = "",
        coco: CocoIds | None = None,
    ) -> None:
        """`coco`: write COCO results instead of Label Studio's import format and overlays.

        `image_prefix` goes before the file name in each task's address. Raises SettingsError where
        nothing can be written to `out`, or where an overlay would replace a photo.
        """
        self._photos = photos
        self._names = _unique_names(photos)
        if coco is not None and self._names != [photo.name for photo in photos]:
            raise SettingsError("two photos have the same file name: COCO ids go by file name.")
        self._predictor = predictor
        self._plan = plan
        self._out = out
        self._prefix = image_prefix
        self._coco = coco
        self._lock = Lock()
        self.report = PhotoReport()
        self._check_out()

    def run(self, pool: FairPool, on_done: Callable[[], None]) -> PhotoReport:
        """Predict all photos; a photo that fails is reported, and the others go on."""
        jobs = [
            lambda index=index, photo=photo: self._one(index, photo, on_done)
            for index, photo in enumerate(self._photos)
        ]
        for outcome in pool.run(jobs):
            if isinstance(outcome, BaseException):
                raise outcome
        return self.report

    def write(self) -> Path:
        """Write all entries there are into the one JSON file, whole or not at all."""
        target = self._out / PREDICTIONS_FILE
        _write_whole(target, orjson.dumps(self.report.items, option=orjson.OPT_INDENT_2))
        return target

    def _check_out(self) -> None:
        inputs = {photo.resolve() for photo in self._photos}
        for name in self._names if self._coco is None else ():
            if (self._out / _overlay_name(name)).resolve() in inputs:
                raise SettingsError(
                    f"the overlay {_overlay_name(name)} would replace a photo: give another --out."
                )
        try:
            self._out.mkdir(parents=True, exist_ok=True)
            _write_whole(self._out / PREDICTIONS_FILE, b"[]")
        except OSError as error:
            raise SettingsError(
                f"cannot write to {self._out} ({error.strerror}): give another --out."
            ) from error

    def _one(self, index: int, photo: Path, on_done: Callable[[], None]) -> None:
        try:
            entries, count = self._predict(photo, self._names[index])
            with self._lock:
                self.report.entries[index] = entries
                self.report.detections += count
        except (LabelvinoError, OSError) as error:
            self._failed(photo, str(error))
        except Exception as error:
            log.debug("%s", photo, exc_info=True)
            self._failed(photo, f"unexpected {type(error).__name__}: {error}")
        finally:
            on_done()

    def _failed(self, photo: Path, reason: str) -> None:
        with self._lock:
            self.report.failed.append((photo, reason))

    def _predict(self, photo: Path, name: str) -> tuple[list[dict[str, Any]], int]:
        if not _is_utf8(name):
            raise ImageError("its file name is not UTF-8: rename the file.")
        data = _read(photo, self._predictor.options.limits)
        tag = self._plan.config.images[0]
        image, found = self._predictor.detect(data, self._plan.plans[tag.name])
        if self._coco is not None:
            return self._coco_entries(photo, found)
        shown = found.above(self._plan.plans[tag.name].lowest_threshold)
        self._draw(image, shown, _overlay_name(name))
        prediction = self._predictor.assemble(self._plan, [(tag, None, found)])
        entry = {
            "data": {tag.field: self._prefix + quote(name) if self._prefix else name},
            "predictions": [prediction.to_json()],
        }
        return [entry], len(shown)

    def _coco_entries(self, photo: Path, found: Detections) -> tuple[list[dict[str, Any]], int]:
        assert self._coco is not None  # noqa: S101 - the caller has looked
        image_id = self._coco.images.get(photo.name)
        if image_id is None:
            raise ImageError(f"{photo.name} is not among the images of the annotations file.")
        results = coco_results(found, image_id, self._coco.categories)
        return results, len(results)

    def _draw(self, image: DecodedImage, found: Detections, overlay: str) -> None:
        names = self._predictor.engine.contract.label_names
        picture = encode_png(draw_overlay(image.pixels, found, names))
        _write_whole(self._out / overlay, picture)


def _read(photo: Path, limits: ImageLimits) -> bytes:
    limit = limits.max_bytes
    if photo.stat().st_size > limit:
        raise ImageError(
            f"the image file has {photo.stat().st_size} bytes, more than the limit of {limit}: "
            "raise LABELVINO_MAX_IMAGE_BYTES."
        )
    return photo.read_bytes()


def _write_whole(target: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    partial = target.with_name(target.name + ".partial")
    partial.write_bytes(data)
    partial.replace(target)


def _unique_names(photos: list[Path]) -> list[str]:
    """File names; where two are equal, the paths as they were given."""
    counts = Counter(photo.name for photo in photos)
    return [photo.name if counts[photo.name] == 1 else str(photo) for photo in photos]


def _overlay_name(name: str) -> str:
    """`a.jpg` -> `a.jpg.overlay.png`; folders in a name become underscores."""
    return name.replace("/", "_").replace("\\", "_") + ".overlay.png"


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
