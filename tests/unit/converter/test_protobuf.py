"""The reader of protobuf's top level."""

from __future__ import annotations

import pytest

from converter.sources import protobuf


def test_an_empty_message_has_no_fields() -> None:
    assert list(protobuf.fields(memoryview(b""))) == []


def test_fields_of_every_wire_type() -> None:
    message = memoryview(
        b"\x08\x96\x01"  # 1: varint 150
        b"\x12\x02hi"  # 2: bytes
        b"\x1d\x01\x00\x00\x00"  # 3: 32 bits
        b"\x21\x01\x00\x00\x00\x00\x00\x00\x00"  # 4: 64 bits
    )
    assert [number for number, _ in protobuf.fields(message)] == [1, 2, 3, 4]
    assert protobuf.number(message, 1) == 150
    assert protobuf.text(message, 2) == "hi"
    assert protobuf.text(message, 5) == ""
    assert protobuf.number(message, 9) is None


def test_inner_messages() -> None:
    message = memoryview(b"\x0a\x04\x12\x02hi\x0a\x04\x12\x02yo")
    assert [bytes(m) for m in protobuf.messages(message, 1, 2)] == [b"hi", b"yo"]


@pytest.mark.parametrize(
    "message", [b"\x08", b"\x12\x05hi", b"\x00\x00", b"\x0f", b"\x08" + b"\xff" * 11]
)
def test_what_is_no_message(message: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(protobuf.fields(memoryview(message)))
