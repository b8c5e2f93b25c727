"""Padding to a multiple of 32 as Detectron2 traces it: OpenVINO pads some sizes too much."""

from __future__ import annotations

import platform

import numpy as np
import openvino as ov
import pytest
import torch

from converter.sources.torch_module import convert_module
from converter.traps import repair_traps

SIZES_HW = [(480, 640), (427, 351), (800, 1333), (97, 131)]
PADDED_HW = [[480, 640], [448, 352], [800, 1344], [128, 160]]


class Padding(torch.nn.Module):
    """The largest size of a batch of one, and both its sides at once."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[3,H,W] with zeros right and below."""
        sides = torch.stack([torch.as_tensor(image.shape[1]), torch.as_tensor(image.shape[2])])
        largest = torch.stack([sides]).max(0).values
        padded = (largest + 31).div(32, rounding_mode="floor") * 32
        right, below = padded[1] - image.shape[2], padded[0] - image.shape[1]
        return torch.nn.functional.pad(image, [0, right, 0, below])


def traced() -> ov.Model:
    return convert_module(Padding(), torch.rand(3, 100, 150), ["padded"], shape=[3, -1, -1])


def sizes_hw(model: ov.Model) -> list[list[int]]:
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [list(compiled(np.zeros((3, *hw), np.float32))[0].shape[1:]) for hw in SIZES_HW]


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the trap is of x86-64 machines")
def test_the_trap() -> None:
    assert sizes_hw(traced()) == [[512, 672], [448, 384], [832, 1376], [128, 160]]


def test_the_repair() -> None:
    model = traced()
    (sentence,) = repair_traps(model)
    assert "shape arithmetic: 1 integer reductions" in sentence
    assert sizes_hw(model) == PADDED_HW
