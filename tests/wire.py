"""Protobuf messages, written by hand: small ONNX and TensorFlow files without their packages.

Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

import struct

Value = int | float | str | bytes


def message(*fields: tuple[int, Value]) -> bytes:
    """Fields in their order: an int is a varint, a float a fixed32, the rest has a length."""
    return b"".join(_field(number, value) for number, value in fields)


def _field(number: int, value: Value) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value & (1 << 64) - 1)
    if isinstance(value, float):
        return _varint(number << 3 | 5) + struct.pack("<f", value)
    content = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)
