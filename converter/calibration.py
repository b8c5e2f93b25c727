"""Photos for quantising: some calibrate, others check what came of it; none does both."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from backend.runtime.errors import ConversionError, ImageError
from backend.runtime.image import DecodedImage, decode_image

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_HELD_OUT_SHARE = 4  # one in so many
MOST_HELD_OUT = 100


@dataclass(frozen=True)
class Photos:
    """`calibration`: what ranges are measured on; `check`: what models are compared on."""

    calibration: tuple[Path, ...]
    check: tuple[Path, ...]


def photos_of(source: Path) -> tuple[Path, ...]:
    """The image files of a folder, or those that a COCO file names, sorted by path.

    A COCO file's images lie beside it, or in a folder `images` there. Raises ConversionError for
    anything else, and where an image is missing.
    """
    if source.is_dir():
        found = sorted(p for p in source.iterdir() if p.suffix.lower() in _SUFFIXES)
        if not found:
            raise ConversionError(f"there is no image in the folder {source}.")
        return tuple(found)
    if not source.is_file():
        raise ConversionError(f"there is no folder or COCO file {source}.")
    return tuple(sorted(_named_by_coco(source)))


def _named_by_coco(path: Path) -> list[Path]:
    try:
        names = [str(image["file_name"]) for image in json.loads(path.read_bytes())["images"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConversionError(
            f"{path} is neither a folder of images nor a COCO file with a list of images."
        ) from error
    if not names:
        raise ConversionError(f"{path} names no image.")
    found = []
    for name in names:
        places = [folder / name for folder in (path.parent, path.parent / "images")]
        there = [place for place in places if place.is_file()]
        if not there:
            raise ConversionError(
                f"{path} names {name}, which is neither beside it nor in {path.parent / 'images'}: "
                "put it there, or give the folder of images instead."
            )
        found.append(there[0])
    return found


def split(
    photos: Sequence[Path],
    check: Sequence[Path] = (),
    *,
    subset_size: int,
    annotated: Collection[str] | None = None,
) -> Photos:
    """Hold some photos out, by a draw that is the same each time, and limit the rest.

    `check`: photos to check with instead; those of the same content do not calibrate. `annotated`:
    file names of the only ones that can check. Raises ConversionError where too few are left.
    """
    drawn = sorted(photos)
    random.Random(0).shuffle(drawn)  # noqa: S311
    if not check:
        can = [p for p in drawn if annotated is None or p.name in annotated]
        check = can[: min(MOST_HELD_OUT, max(1, len(drawn) // _HELD_OUT_SHARE))]
    elif annotated is not None:
        check = [p for p in check if p.name in annotated]
    if not check:
        raise ConversionError(
            "none of the images that could check the result is in --annotations: name more images "
            "with --check."
        )
    seen = {_digest(path) for path in check}
    left = [path for path in drawn if _digest(path) not in seen]
    if not left:
        raise ConversionError(
            f"of {len(drawn)} images none is left to calibrate with, since images that check the "
            "result must be others: give more images."
        )
    return Photos(tuple(left[:subset_size]), tuple(sorted(check)))


def read_photo(path: Path) -> DecodedImage:
    """Raises ImageError that names the file."""
    try:
        return decode_image(path.read_bytes())
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


Counter = Callable[[int, int], None]
"""Hears how many are done, and of how many."""


def _digest(path: Path) -> str:
    try:
        return sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ImageError(f"{path} cannot be read: {error.strerror}.") from error
