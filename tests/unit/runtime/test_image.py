"""Bytes become RGB as displayed, or are refused with the reason."""

from __future__ import annotations

import hashlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from backend.runtime.errors import ImageError
from backend.runtime.image import DecodedImage, ImageLimits, decode_image


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    out = BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def corner_image(width: int = 32, height: int = 16) -> Image.Image:
    """Grey, with a red left upper quarter."""
    pixels = np.full((height, width, 3), 128, np.uint8)
    pixels[: height // 2, : width // 2] = (255, 0, 0)
    return Image.fromarray(pixels)


def is_red(image: DecodedImage, x: float, y: float) -> bool:
    """Whether the pixel at this share of width and height is red."""
    r, g, _ = image.pixels[int(y * image.height), int(x * image.width)].astype(int)
    return bool(r > 200 and g < 60)


# Where the stored left upper corner is displayed (EXIF 2.32, 4.6.4 A, Orientation).
CORNERS = {1: (0, 0), 2: (1, 0), 3: (1, 1), 4: (0, 1), 5: (0, 0), 6: (1, 0), 7: (1, 1), 8: (0, 1)}


@pytest.mark.parametrize("orientation", CORNERS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_exif_orientation_is_applied_once(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(corner_image(), kind, exif=exif, quality=95)
    image = decode_image(data)
    assert (image.width, image.height) == ((32, 16) if orientation < 5 else (16, 32))
    right, low = CORNERS[orientation]
    for x in (0, 1):
        for y in (0, 1):
            assert is_red(image, 0.2 + 0.6 * x, 0.2 + 0.6 * y) == ((x, y) == (right, low))
    assert image.orientation == orientation
    assert image.digest == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_nonsense_orientation_is_ignored(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(corner_image(), "JPEG", exif=exif))
    assert (image.width, image.height, image.orientation) == (32, 16, 1)


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "RGBA", "LA"])
def test_modes_of_png(mode: str) -> None:
    image = decode_image(encoded(Image.new("RGB", (4, 3), "white").convert(mode)))
    assert image.pixels.shape == (3, 4, 3)
    assert (image.pixels == 255).all()


def test_cmyk_jpeg() -> None:
    image = decode_image(encoded(corner_image().convert("CMYK"), "JPEG", quality=95))
    assert is_red(image, 0.2, 0.2) and not is_red(image, 0.8, 0.8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_keeps_its_upper_bits(kind: str) -> None:
    values = np.array([[0, 256, 65535, 32768]], np.uint16)
    image = decode_image(encoded(Image.fromarray(values), kind))
    assert image.pixels[0, :, 0].tolist() == [0, 1, 255, 128]


def test_alpha_lies_on_white() -> None:
    clear = Image.new("RGBA", (2, 1), (0, 0, 0, 0))
    clear.putpixel((1, 0), (0, 0, 255, 255))
    image = decode_image(encoded(clear))
    assert image.pixels[0].tolist() == [[255, 255, 255], [0, 0, 255]]


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "TIFF"])
def test_the_first_frame_of_an_animation_counts(kind: str) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert is_red(decode_image(data), 0.5, 0.5)


def test_one_pixel() -> None:
    assert decode_image(encoded(Image.new("RGB", (1, 1)))).pixels.shape == (1, 1, 3)


def float_tiff() -> bytes:
    return encoded(Image.fromarray(np.ones((2, 2), np.float32)), "TIFF")


JPEG = encoded(corner_image(400, 300), "JPEG")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"hello", "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        (b"<html>login</html>", "not an image"),
        (JPEG[: len(JPEG) // 2], "damaged"),
        (JPEG[:100], "damaged|not an image"),
        (encoded(corner_image())[:60], "damaged"),
        (encoded(Image.new("L", (3, 3)), "PPM"), "not an image"),
        (float_tiff(), "floating-point"),
    ],
)
def test_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(ImageError, match=reason):
        decode_image(data)


def test_limits_are_checked_before_decoding() -> None:
    huge = encoded(Image.new("1", (20_000, 20_000)))  # 400 megapixels in 50 kB
    with pytest.raises(ImageError, match=r"20000x20000 pixels.*LABELVINO_MAX_IMAGE_PIXELS"):
        decode_image(huge)
    with pytest.raises(ImageError, match="LABELVINO_MAX_IMAGE_BYTES"):
        decode_image(huge, ImageLimits(max_bytes=100))


def half(width: int, height: int) -> tuple[int, int]:
    return width // 2, height // 2


@pytest.mark.parametrize("orientation", CORNERS)
def test_a_jpeg_is_decoded_at_a_reduced_scale_where_that_is_enough(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = decode_image(encoded(corner_image(320, 160), "JPEG", exif=exif), needed=half)
    turned = orientation >= 5
    assert (image.width, image.height) == ((160, 320) if turned else (320, 160))
    assert image.pixels.shape[:2] == ((160, 80) if turned else (80, 160))
    x, y = CORNERS[orientation]
    r, g, _ = image.pixels[140 * y // (1 + (not turned)) + 5, 140 * x // (1 + turned) + 5]
    assert r > 200 and g < 60


@pytest.mark.parametrize("width", [161, 319, 320, 321, 2999])
def test_a_reduced_image_has_all_that_is_needed(width: int) -> None:
    data = encoded(Image.new("RGB", (width, 77), (9, 90, 200)), "JPEG")
    image = decode_image(data, needed=lambda w, h: (160, 20))
    assert (image.width, image.height) == (width, 77)
    assert image.pixels.shape[0] >= 20 and image.pixels.shape[1] >= 160
    assert image.digest == hashlib.sha256(data).hexdigest()


def test_what_is_needed_whole_or_is_no_jpeg_keeps_its_pixels() -> None:
    whole = decode_image(encoded(corner_image(), "JPEG"), needed=lambda w, h: (w, h))
    png = decode_image(encoded(corner_image(), "PNG"), needed=half)
    assert whole.full_size is None and png.full_size is None
    assert whole.pixels.shape == png.pixels.shape == (16, 32, 3)


def test_limits_hold_for_the_full_size() -> None:
    data = encoded(corner_image(320, 160), "JPEG")
    with pytest.raises(ImageError, match="320x160 pixels"):
        decode_image(data, ImageLimits(max_pixels=320 * 160 - 1), needed=half)


def test_a_full_size_below_the_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="more than"):
        DecodedImage(np.zeros((4, 8, 3), np.uint8), 1, "", full_size=(7, 4))
