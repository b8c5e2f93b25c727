"""File names for the images of tasks: safe on every disk, and the same at every export."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"})
_MAX_CHARACTERS = 80
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


def image_file_name(task_id: int, address: str, index: int | None = None) -> str:
    """`12-name.jpg`, of the task's id and the last part of the image's address.

    `index`: place among the images of a task that may have several: `12.0-name.jpg`. Characters
    other than ASCII letters, digits, `.`, `_` and `-` become `_`; what has no image's suffix gets
    `.jpg`, since tools look at it (readers look at the content).
    """
    stem, suffix = _last_part(address)
    place = "" if index is None else f".{index}"
    return f"{task_id}{place}-{stem}{suffix}"


def _last_part(address: str) -> tuple[str, str]:
    text = address.strip()
    if text[:5].lower() == "data:":
        return "image", ".jpg"
    try:
        parts = urlsplit(text)
        path = parse_qs(parts.query).get("d", [""])[0] if "local-files" in parts.path else ""
        path = path or unquote(parts.path)
    except ValueError:  # a broken address; the name only has to be safe
        path = ""
    name = _UNSAFE.sub("_", path.replace("\\", "/").rstrip("/").rpartition("/")[2])
    stem, dot, suffix = name.rpartition(".")
    if f".{suffix.lower()}" not in _SUFFIXES or not dot:
        stem, suffix = name, "jpg"
    return stem.strip("._-")[:_MAX_CHARACTERS] or "image", f".{suffix.lower()}"
