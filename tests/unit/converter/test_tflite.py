"""The part of TensorFlow Lite's format that is read here: names of a signature."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.runtime.errors import ConversionError
from converter.sources.tflite import load_tflite


@pytest.mark.parametrize(
    "content",
    [b"x", b"\x00" * 100, b"\x1c\x00\x00\x00TFL3", b"\xff\xff\xff\xffTFL3" + b"\xff" * 50],
)
def test_what_is_no_model(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.tflite"
    path.write_bytes(content)
    with pytest.raises(ConversionError, match="is not a TensorFlow Lite model"):
        load_tflite(path)


@given(st.binary(min_size=4, max_size=4), st.binary(max_size=200))
def test_any_bytes_are_one_refusal(
    tmp_path_factory: pytest.TempPathFactory, root: bytes, rest: bytes
) -> None:
    path = tmp_path_factory.mktemp("tflite") / "a.tflite"
    path.write_bytes(root + b"TFL3" + rest)
    with pytest.raises(ConversionError):
        load_tflite(path)


def test_a_real_one_has_no_signature(shared_dir: Path) -> None:
    """Then the tensor's own name stays, and the model is no detector."""
    folder = shared_dir / "models" / "deeplabv3_mnv2_tflite"
    source = load_tflite(folder / "deeplabv3_mnv2_pascal_quant.tflite")
    assert source.format == "tensorflow-lite"
    assert [sorted(port.get_names()) for port in source.model.outputs] == [["ArgMax"]]
