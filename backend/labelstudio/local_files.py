"""Images on disk, below one configured folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from backend.labelstudio.image_body import check_size
from backend.runtime.errors import FetchError, SettingsError


class LocalFiles:
    """Reads files below `root`, whatever links and dots a path has on its way."""

    def __init__(self, root: Path) -> None:
        """Raises SettingsError for a root that is no folder, or the whole disk."""
        self._given = root
        try:
            self._root = root.resolve(strict=True)
        except OSError as error:
            raise SettingsError(
                f"the folder {root} is not there: correct LABELVINO_LOCAL_FILES_ROOT."
            ) from error
        if not self._root.is_dir() or self._root == Path(self._root.anchor):
            raise SettingsError(
                f"{root} is not a folder, or it is the whole disk: set LABELVINO_LOCAL_FILES_ROOT "
                "to the folder of the images."
            )

    def names(self, path: str) -> bool:
        """True for an absolute path that is written as one below the root."""
        written = Path(os.path.normpath(path))
        return any(written.is_relative_to(root) for root in (self._given, self._root))

    def find(self, path: str) -> Path | None:
        """The real path of a file, `path` relative to the root or absolute; None: not there.

        Raises FetchError for a path that leads out of the root.
        """
        try:
            real = (self._root / path).resolve()
            is_there = real.exists()
        except (OSError, ValueError, RuntimeError) as error:  # too long, null byte, link loop
            raise FetchError("the path cannot be used: correct it in the task's data.") from error
        if not real.is_relative_to(self._root):
            raise FetchError(
                f"the path leads out of {self._root}: move the image below it, or set "
                "LABELVINO_LOCAL_FILES_ROOT to a folder that holds it."
            )
        return real if is_there else None

    def read(self, real: Path, max_bytes: int) -> bytes:
        """The bytes of a file that `find` gave. Raises FetchError."""
        # Not following: the last part could have become a link since. Not blocking: a pipe.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(real, flags)
            try:
                facts = os.fstat(descriptor)
                if not stat.S_ISREG(facts.st_mode):
                    raise FetchError("the path is not a file: correct it in the task's data.")
                check_size(facts.st_size, max_bytes)
                with os.fdopen(descriptor, "rb", closefd=False) as file:
                    data = file.read(max_bytes + 1)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise FetchError(
                f"the file cannot be read ({error.strerror}): check its permissions."
            ) from error
        check_size(len(data), max_bytes)
        return data
