"""An operation of one's own in PyTorch, and its conversion in a Python file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch

from backend.runtime.errors import ConversionError
from converter.extensions import extensions_in_force, load_extensions
from converter.sources.torch_module import convert_module

EXTENSION = """
import numpy as np
import openvino.opset13 as ops
from openvino.frontend.pytorch import ConversionExtension

def triple(node):
    return ops.multiply(node.get_input(0), np.float32(3)).outputs()

EXTENSIONS = [ConversionExtension("toy::triple", triple)]
"""


@torch.library.custom_op("toy::triple", mutates_args=())
def triple(values: torch.Tensor) -> torch.Tensor:
    return values * 3


class Triple(torch.nn.Module):
    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return triple(values) + 1


def test_without_it_the_operation_is_named() -> None:
    with pytest.raises(ConversionError, match="no conversion for the operation toy::triple: give"):
        convert_module(Triple(), torch.rand(4), ["out"])


def test_with_it(tmp_path: Path) -> None:
    path = tmp_path / "triple.py"
    path.write_text(EXTENSION)
    with extensions_in_force(load_extensions([path])):
        model = convert_module(Triple(), torch.rand(4), ["out"], shape=[-1])
    found = ov.Core().compile_model(model, "CPU")(np.array([1, 2], np.float32))[0]
    assert found.tolist() == [4.0, 7.0]


def test_a_conversion_that_does_not_fit_says_why(tmp_path: Path) -> None:
    path = tmp_path / "triple.py"
    path.write_text(EXTENSION.replace("np.float32(3)", "3.0"))  # a float of Python has 64 bits
    with (
        extensions_in_force(load_extensions([path])),
        pytest.raises(
            ConversionError, match=r"toy::triple failed .* not have the same element type"
        ),
    ):
        convert_module(Triple(), torch.rand(4), ["out"], shape=[-1])
