"""The top of a protobuf message, field by field, without its schema.

Enough to tell a TensorFlow graph from a SavedModel, to read a version, and to see that a file was
cut off. Format: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from collections.abc import Iterator

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield (field number, value): an int, or the bytes of a string or an inner message.

    Raises ValueError where the bytes are no protobuf message, or end too early.
    """
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire_type = key >> 3, key & 7
        if number == 0:
            raise ValueError("a field has the number 0")
        if wire_type == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire_type == _BYTES:
            length, at = _varint(message, at)
        elif wire_type in (_FIXED32, _FIXED64):
            length = 4 if wire_type == _FIXED32 else 8
        else:
            raise ValueError(f"a field has the unknown wire type {wire_type}")
        if at + length > len(message):
            raise ValueError("it ends in the middle of a field")
        yield number, message[at : at + length]
        at += length


def messages(message: memoryview, *path: int) -> Iterator[memoryview]:
    """The inner messages (or strings) that stand at a path of field numbers."""
    number, rest = path[0], path[1:]
    for found, value in fields(message):
        if found == number and isinstance(value, memoryview):
            if rest:
                yield from messages(value, *rest)
            else:
                yield value


def text(message: memoryview, *path: int) -> str:
    """The first string at a path, or ''."""
    for value in messages(message, *path):
        return bytes(value).decode("utf-8", "replace")
    return ""


def number(message: memoryview, field: int) -> int | None:
    """The first integer with that field number, or None."""
    for found, value in fields(message):
        if found == field and isinstance(value, int):
            return value
    return None


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message):
            raise ValueError("it ends in the middle of a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")
