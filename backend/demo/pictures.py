"""Demo scenes as picture files."""

from __future__ import annotations

from io import BytesIO

from PIL import Image

from backend.demo.scenes import Scene

_QUALITY = 92


def encode_jpeg(scene: Scene) -> bytes:
    """JPEG bytes; the same scene gives the same bytes with the same Pillow."""
    out = BytesIO()
    Image.fromarray(scene.pixels).save(out, "JPEG", quality=_QUALITY)
    return out.getvalue()
