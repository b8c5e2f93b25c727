"""Candidates <-> bytes, for stores outside this process: msgpack with a checksum, no pickle.

Every number is kept as it is, so that what is read back gives the same detections.
"""

from __future__ import annotations

import zlib
from dataclasses import astuple
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from backend.runtime.candidates import Candidates
from backend.runtime.contract import MaskFrame
from backend.runtime.masks import MaskCells
from backend.runtime.resize import ResizeGeometry

# Stands in front of every value; a change of the format changes it.
MAGIC = b"lvc1"
_CHECKSUM_BYTES = 4


class FormatError(ValueError):
    """Bytes that are no candidates, are damaged, or belong to another key."""


class _Packed(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """`geometry`: fields of ResizeGeometry; arrays as little-endian bytes.

    `cells`: row, column, rows, columns, h, w of each mask.
    """

    key: str
    geometry: tuple[int, ...]
    frame: MaskFrame | None
    floor_score: float
    limit: int
    boxes: bytes
    scores: bytes
    labels: bytes
    cells: list[tuple[int, int, int, int, int, int]] | None
    probabilities: bytes


_DECODER = msgspec.msgpack.Decoder(_Packed)


def pack_candidates(found: Candidates, key: str) -> bytes:
    """The bytes to store under `key`."""
    cells = None
    if found.cells is not None:
        cells = [(c.row, c.column, c.rows, c.columns, *_shape(c)) for c in found.cells]
    body = msgspec.msgpack.encode(
        _Packed(
            key,
            astuple(found.geometry),
            found.frame,
            found.floor_score,
            found.limit,
            found.boxes_xyxy_px.astype("<f4").tobytes(),
            found.scores.astype("<f4").tobytes(),
            found.labels.astype("<i8").tobytes(),
            cells,
            b"".join(c.probabilities.astype("<f4").tobytes() for c in found.cells or ()),
        )
    )
    return MAGIC + zlib.crc32(body).to_bytes(_CHECKSUM_BYTES, "little") + body


def unpack_candidates(data: bytes, key: str) -> Candidates:
    """What was stored under `key`. Raises FormatError for everything else."""
    start = len(MAGIC) + _CHECKSUM_BYTES
    if data[: len(MAGIC)] != MAGIC:
        raise FormatError("it is not in labelvino's format")
    body = data[start:]
    if zlib.crc32(body) != int.from_bytes(data[len(MAGIC) : start], "little"):
        raise FormatError("it is damaged")
    try:
        packed = _DECODER.decode(body)
        if packed.key != key:
            raise FormatError("it belongs to another key")
        return _candidates(packed)
    except (msgspec.MsgspecError, ValueError, TypeError) as error:
        raise FormatError(str(error)) from error


def _candidates(packed: _Packed) -> Candidates:
    scores = _array(packed.scores, "<f4")
    cells = None
    if packed.cells is not None:
        cells = tuple(_cells(packed))
    return Candidates(
        ResizeGeometry(*packed.geometry),
        packed.frame,
        _array(packed.boxes, "<f4").reshape(len(scores), 4),
        scores,
        _array(packed.labels, "<i8"),
        cells,
        packed.floor_score,
        packed.limit,
    )


def _cells(packed: _Packed) -> list[MaskCells]:
    values = _array(packed.probabilities, "<f4")
    made, start = [], 0
    for row, column, rows, columns, h, w in packed.cells or ():
        part = values[start : start + h * w]
        made.append(MaskCells(part.reshape(h, w), row, column, rows, columns))
        start += h * w
    if start != values.size:
        raise ValueError("the masks do not fit their sizes")
    return made


def _array(data: bytes, dtype: str) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype).astype(np.dtype(dtype).newbyteorder("="), copy=False)


def _shape(cells: MaskCells) -> tuple[int, int]:
    height, width = cells.probabilities.shape
    return height, width
