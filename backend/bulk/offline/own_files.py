"""Images of the user's own files, by plain paths; everything else as a served task's."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from backend.image_results import ImageSource
from backend.labelstudio.images import LABEL_STUDIO_FOLDERS
from backend.labelstudio.shown_url import shown_url
from backend.runtime.errors import FetchError


class OwnFiles:
    """Reads plain paths and file: addresses from disk, whoever's they are; passes on the rest.

    Only for whoever runs the command on files of their own: a server must not read so.
    """

    def __init__(self, root: Path, max_bytes: int, others: ImageSource) -> None:
        """`root`: where relative paths count from."""
        self._root = root
        self._max_bytes = max_bytes
        self._others = others

    def fetch(
        self, url: str, *, task_id: int | None = None, deadline: float | None = None
    ) -> bytes:
        """The bytes of an image. Raises FetchError."""
        found = self._file(url)
        if found is None:
            return self._others.fetch(url, task_id=task_id, deadline=deadline)
        try:
            size_bytes = found.stat().st_size
            if size_bytes > self._max_bytes:
                raise FetchError(
                    f"{found}: the image has {size_bytes} bytes, more than the limit of "
                    f"{self._max_bytes}: raise LABELVINO_MAX_IMAGE_BYTES."
                )
            return found.read_bytes()
        except OSError as error:
            raise FetchError(f"{found} cannot be read: {error.strerror or error}.") from error

    def _file(self, url: str) -> Path | None:
        """None for what is no file here; raises FetchError for a plain path without a file."""
        text = url.strip()
        if text.startswith("file:"):
            text = unquote(urlsplit(text).path)
        elif text.startswith(("//", "\\\\")) or ":" in text.partition("/")[0]:
            return None  # a scheme
        for name in dict.fromkeys([text, unquote(text)]):
            try:
                path = self._root / name  # an absolute path stays what it is
                if name and path.is_file():
                    return path
            except OSError:  # too long, such as an image as bare base64
                continue
        if not text or text.lstrip("/").split("/", 1)[0] in LABEL_STUDIO_FOLDERS:
            return None
        raise FetchError(
            f"there is no file {shown_url(text)}: relative paths count from {self._root}, or from "
            "--image-root."
        )
