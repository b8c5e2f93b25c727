"""A picture of nothing, of some size."""

from __future__ import annotations

import io

from PIL import Image

_ORIENTATION = 0x0112


def plain_jpeg(width: int, height: int, orientation: int = 1) -> bytes:
    """`orientation`: EXIF's, 1 to 8; width and height are those that are stored."""
    out, exif = io.BytesIO(), Image.Exif()
    exif[_ORIENTATION] = orientation
    Image.new("L", (width, height), 90).save(out, "JPEG", exif=exif)
    return out.getvalue()
