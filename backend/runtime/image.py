"""Bytes -> DecodedImage: RGB pixels as the image is displayed, within limits."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from backend.runtime.errors import ImageError

# Formats that a browser shows or that people upload; the others stay out, since each decoder is
# code that foreign bytes reach.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
_EXIF_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)  # orientations that swap width and height
# Pillow has one limit for the whole process; ours is settable and is checked before decoding.
Image.MAX_IMAGE_PIXELS = None


@dataclass(frozen=True)
class ImageLimits:
    """What is refused before it is decoded."""

    max_bytes: int = 50 * 1024 * 1024
    max_pixels: int = 64_000_000


@dataclass(frozen=True, eq=False)
class DecodedImage:
    """`pixels` u8 [height, width, 3] RGB with the EXIF orientation applied.

    `orientation`: the EXIF value (1..8) the file had; `digest`: SHA-256 (hex) of the file's bytes;
    `full_size`: width and height as displayed, where `pixels` were decoded at a reduced scale.
    """

    pixels: npt.NDArray[np.uint8]
    orientation: int
    digest: str
    full_size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        p = self.pixels
        if p.ndim != 3 or p.shape[2] != 3 or p.dtype != np.uint8 or 0 in p.shape:
            raise ValueError(f"an image must be u8 [h, w, 3], but got {p.dtype} {p.shape}")
        if self.full_size is not None and (self.width < p.shape[1] or self.height < p.shape[0]):
            raise ValueError(f"{p.shape[1]}x{p.shape[0]} pixels are more than {self.full_size}")

    @property
    def width(self) -> int:
        """Of the image as displayed, whatever the scale of its pixels."""
        return int(self.pixels.shape[1]) if self.full_size is None else self.full_size[0]

    @property
    def height(self) -> int:
        """Of the image as displayed, whatever the scale of its pixels."""
        return int(self.pixels.shape[0]) if self.full_size is None else self.full_size[1]


Needed = Callable[[int, int], tuple[int, int]]
"""From an image's width and height, as displayed, to the least that its pixels must have."""


def decode_image(
    data: bytes,
    limits: ImageLimits | None = None,
    needed: Needed | None = None,
    digest: str | None = None,
) -> DecodedImage:
    """Decode JPEG, PNG, WebP, BMP, GIF or TIFF bytes.

    With `needed`, a JPEG is decoded at 1/2, 1/4 or 1/8 where that leaves enough pixels: its blocks
    are averaged as they are decoded, in a fraction of the time and the memory. `digest`: of `data`,
    where it is known already.

    Grey, palette and CMYK become RGB; 16-bit grey keeps its upper 8 bits, as browsers show it;
    alpha is laid on white; of an animation the first frame counts, as Label Studio shows it first.
    Raises ImageError with the reason for everything else.
    """
    limits = limits or ImageLimits()
    if not data:
        raise ImageError("the image file is empty.")
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"the image file has {len(data)} bytes, more than the limit of {limits.max_bytes}: "
            "raise LABELVINO_MAX_IMAGE_BYTES."
        )
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image, limits)
            orientation = _orientation(image)
            full_size = image.size[::-1] if orientation in _TURNED else image.size
            if needed is not None and image.format == "JPEG":
                least = needed(*full_size)
                image.draft(None, least[::-1] if orientation in _TURNED else least)
            # Keeps the header's promise: a truncated file raises here instead of going grey.
            image.load()
            # It copies even an image that is upright.
            upright = image if orientation == 1 else ImageOps.exif_transpose(image)
            pixels = np.asarray(_to_rgb(upright))
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            f"the file is not an image that can be read ({', '.join(FORMATS)}, up to 8 bits a "
            "channel or 16-bit grey)."
        ) from error
    except Exception as error:  # decoders raise all kinds on damaged files
        raise ImageError(f"the image is damaged or not supported: {error}.") from error
    is_reduced = (pixels.shape[1], pixels.shape[0]) != full_size
    return DecodedImage(
        np.ascontiguousarray(pixels),
        orientation,
        digest or hashlib.sha256(data).hexdigest(),
        full_size if is_reduced else None,
    )


def pixel_count(data: bytes) -> int:
    """Pixels of an image by its header, 0 where it has none that can be read."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            return int(image.width * image.height)
    except Exception:  # noqa: BLE001 - decoding it will say what is wrong
        return 0


def _check_size(image: Image.Image, limits: ImageLimits) -> None:
    width, height = image.size
    if width < 1 or height < 1:
        raise ImageError("the image has no pixels.")
    if width * height > limits.max_pixels:
        raise ImageError(
            f"the image has {width}x{height} pixels, more than the limit of {limits.max_pixels}: "
            "raise LABELVINO_MAX_IMAGE_PIXELS."
        )


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_EXIF_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "RGB":
        return image
    if image.mode.startswith("I;16") or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError("the image has more than 16 bits a pixel: save it with 8 or 16 bits.")
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ImageError("the image has floating-point pixels: save it with 8 or 16 bits.")
    if image.has_transparency_data:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")
