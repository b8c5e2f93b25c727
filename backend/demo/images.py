"""The demo's images: drawn scenes, or the user's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.demo.pictures import encode_jpeg
from backend.demo.scenes import FIRST_UNSEEN_SEED, draw_scene
from backend.demo.steps import Steps
from backend.runtime.errors import ImageError, SettingsError

SCENES = 16
# What Label Studio takes as an upload and a browser shows.
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")
_SIZES = ((960, 640), (720, 480), (640, 480), (900, 675))
_DIGEST = re.compile(r"-([0-9a-f]{10})\.[a-z]+$")


@dataclass(frozen=True)
class DemoImage:
    """A file of images for Label Studio; `upload_name` carries a digest of its bytes."""

    path: Path

    def read(self) -> tuple[str, bytes]:
        """Upload name and bytes. Raises ImageError."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise ImageError(f"{self.path} cannot be read: {error.strerror or error}.") from error
        stem = re.sub(r"[^A-Za-z0-9_]+", "-", self.path.stem).strip("-")[:40] or "image"
        digest = hashlib.sha256(data).hexdigest()[:10]
        return f"{stem}-{digest}{self.path.suffix.lower()}", data


def upload_digest(address: str) -> str | None:
    """The digest in an upload name or in the address of an upload; None where there is none."""
    found = _DIGEST.search(address)
    return found[1] if found else None


def drawn_images(folder: Path, steps: Steps) -> list[DemoImage]:
    """Scenes that the shipped model was not trained on; drawn once."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"scene{number + 1:02d}.jpg" for number in range(SCENES)]
    missing = [path for path in paths if not path.exists()]
    if missing:
        with steps.step(f"Drawing {SCENES} scenes") as show:
            for done, path in enumerate(missing):
                number = paths.index(path)
                width, height = _SIZES[number % len(_SIZES)]
                scene = draw_scene(FIRST_UNSEEN_SEED + number, width, height)
                new = path.with_suffix(".new")
                new.write_bytes(encode_jpeg(scene))
                new.replace(path)
                show(f"{done + 1} of {len(missing)}")
    return [DemoImage(path) for path in paths]


def own_images(folder: Path, most: int, steps: Steps) -> list[DemoImage]:
    """The first `most` images of a folder, by name. Raises SettingsError where there is none."""
    if not folder.is_dir():
        raise SettingsError(f"there is no folder {folder}: give one with images in it.")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise SettingsError(
            f"the folder {folder} has no images that Label Studio takes ({', '.join(_SUFFIXES)})."
        )
    if len(paths) > most:
        steps.say(f"Of {len(paths)} images the first {most} are taken; --max-images takes more.")
    return [DemoImage(path) for path in paths[:most]]


def batches(images: Iterable[DemoImage], most_bytes: int, most: int) -> Iterator[list[DemoImage]]:
    """Images in their order, as many at once as one upload may hold, and one at least."""
    batch: list[DemoImage] = []
    size = 0
    for image in images:
        image_bytes = image.path.stat().st_size
        if batch and (len(batch) == most or size + image_bytes > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(image)
        size += image_bytes
    if batch:
        yield batch
