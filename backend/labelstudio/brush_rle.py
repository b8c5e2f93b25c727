"""Label Studio's brush format, both ways.

It is the run-length format of thi.ng's rle-pack (https://github.com/thi-ng/umbrella, package
rle-pack) over the RGBA bytes of the image, row by row: a 32-bit count of bytes, 5 bits of word
size - 1, four times 4 bits of size - 1 (3, 4, 8, 16), then runs: 1 flag bit, a 2-bit index of the
size, length - 1 in that size, the 8-bit value. Foreground is 255 in all four bytes.

The bytes equal those of `label_studio_sdk.converter.brush.encode_rle`, but are computed from the
mask's crop: the full frame is never built.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from backend.runtime.detections import MaskCrop

I64 = npt.NDArray[np.int64]

_SIZES = np.array([3, 4, 8, 16], np.int64)
_LONGEST_RUN = 1 << 16
_CHANNELS = 4
_WORD = 8  # pixels that are looked at together


def encode_brush(mask: MaskCrop, width: int, height: int) -> list[int]:
    """The brush mask of an image of `width` x `height` pixels, as a list of bytes 0..255.

    Raises ValueError for a mask that does not lie within the image.
    """
    rows, columns = mask.pixels.shape
    if mask.pixels.size and not (
        0 <= mask.x and mask.x + columns <= width and 0 <= mask.y and mask.y + rows <= height
    ):
        raise ValueError(
            f"a mask of {columns}x{rows} pixels at ({mask.x}, {mask.y}) is not within an image of "
            f"{width}x{height}"
        )
    lengths, values = _runs(mask, width, height)
    lengths, values, size_index = _cut(lengths * _CHANNELS, values)
    sizes = _SIZES[size_index]
    # One token: flag 1, size index, length - 1, value.
    bits = 1 + 2 + sizes + 8
    tokens = (((((1 << 2) | size_index) << sizes) | (lengths - 1)) << 8) | values
    header = np.array([width * height * _CHANNELS, 8 - 1, 2, 3, 7, 15], np.int64)
    header_bits = np.array([32, 5, 4, 4, 4, 4], np.int64)
    return _pack(np.concatenate([header, tokens]), np.concatenate([header_bits, bits]))


def decode_brush(rle: list[int], width: int, height: int) -> npt.NDArray[np.bool_]:
    """The mask, bool [height, width], where any of a pixel's four bytes is not 0.

    Raises ValueError for a damaged list or one of another size.
    """
    try:
        data = bytes(list(rle))  # of a number, bytes() would make so many zeros
    except (TypeError, ValueError) as error:
        raise ValueError(f"the brush mask is no list of bytes: {error}") from error
    at = 0

    def read(count: int) -> int:
        nonlocal at
        first, last = at // 8, (at + count + 7) // 8
        at += count
        if last > len(data):
            raise ValueError("the brush mask ends too early")
        return int.from_bytes(data[first:last], "big") >> (last * 8 - at) & ((1 << count) - 1)

    total = read(32)
    if total != width * height * _CHANNELS:
        raise ValueError(
            f"the brush mask has {total} bytes, but an image of {width}x{height} has "
            f"{width * height * _CHANNELS}"
        )
    word = read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    # Pages of zeros that nobody writes to cost nothing, however large the image.
    pixels = np.zeros(width * height, np.bool_)
    position = 0
    while position < total:
        repeated = read(1)
        count = read(sizes[read(2)]) + 1
        if position + count > total:
            raise ValueError("the brush mask has more bytes than the image")
        if not repeated:
            for i in range(position, position + count):
                pixels[i // _CHANNELS] |= bool(read(word) & 0xFF)
        elif read(word) & 0xFF:
            # Of each pixel that the run has a byte of.
            pixels[position // _CHANNELS : (position + count - 1) // _CHANNELS + 1] = True
        position += count
    return pixels.reshape(height, width)


def _runs(mask: MaskCrop, width: int, height: int) -> tuple[I64, I64]:
    """Runs of the image in row order: lengths in pixels (all > 0) and values 0 or 255."""
    columns = mask.pixels.shape[1]
    border = _borders(mask.pixels)
    at = (border // (columns + 1) + mask.y) * width + border % (columns + 1) + mask.x
    starts, stops = at[::2], at[1::2]
    # A run that reaches the right border goes on in the next row.
    meets = starts[1:] == stops[:-1]
    starts = starts[np.concatenate([[True], ~meets])] if starts.size else starts
    stops = stops[np.concatenate([~meets, [True]])] if stops.size else stops
    borders = np.concatenate([[0], np.column_stack([starts, stops]).ravel(), [width * height]])
    lengths = np.diff(borders)
    values = np.where(np.arange(len(lengths)) % 2 == 1, 255, 0)
    return lengths[lengths > 0], values[lengths > 0]


def _borders(pixels: npt.NDArray[np.bool_]) -> I64:
    """Where rows of pixels begin and end, in turn, counted through rows that are one longer."""
    rows, columns = pixels.shape
    count = rows * (columns + 1)
    # A pixel of nothing before the first row and after each.
    line = np.zeros(1 + count, np.bool_)
    line[1:].reshape(rows, columns + 1)[:, :-1] = pixels
    words = np.zeros(-(-count // _WORD), np.uint64)
    changes = words.view(np.bool_)
    np.not_equal(line[1:], line[:-1], out=changes[:count])
    # Most words have none, and looking at words takes an eighth of the time.
    word = np.flatnonzero(words)
    which, place = np.nonzero(changes.reshape(-1, _WORD)[word])
    return np.asarray(word[which] * _WORD + place, np.int64)


def _cut(lengths: I64, values: I64) -> tuple[I64, I64, I64]:
    """Cut runs to at most 65536 bytes; also the index of the size that each is written in."""
    whole = (lengths - 1) // _LONGEST_RUN
    pieces = whole + 1
    cut = np.full(int(pieces.sum()), _LONGEST_RUN, np.int64)
    last = np.cumsum(pieces) - 1
    cut[last] = lengths - whole * _LONGEST_RUN
    # The rest of a cut run keeps the 16-bit size, however short it is.
    size_index = np.searchsorted(np.array([8, 16, 256]), lengths, side="left")
    return cut, np.repeat(values, pieces), np.repeat(size_index, pieces)


def _pack(values: I64, bits: I64) -> list[int]:
    """Write each value with its number of bits (at most 32), most significant first."""
    left_aligned = (values << (32 - bits)).astype(">u4")
    planes = np.unpackbits(left_aligned.view(np.uint8).reshape(-1, 4), axis=1)
    stream = planes[np.arange(32) < bits[:, np.newaxis]]
    # The SDK fills up with 1 to 8 zero bits: a full last byte is followed by an empty one.
    fill = np.zeros(8 - stream.size % 8, np.uint8)
    packed: list[int] = np.packbits(np.concatenate([stream, fill])).tolist()
    return packed
