"""Seeded weights with which an untrained detector finds separate things with confident scores.

Random weights give thousands of near-equal scores, and rounding decides which survive: two sound
implementations then disagree. Here batch norms take the statistics of some photos, and then, stage
by stage, each predicting layer is scaled so that what it gives for those photos has a chosen mean
and spread: objectness spread wide, small box steps, class scores far apart with the background
ahead, mask logits of both signs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

# So that among some hundred proposals a few dozen pass, whatever the number of classes
BACKGROUND_LEAD = {5: 8.0, 80: 12.0}


def take_statistics(model: nn.Module, run: Callable[[], object]) -> None:
    """Let all batch norms take mean and variance from what `run` sends through the model."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average
        norm.train()
    with torch.no_grad():
        run()
    for norm in norms:
        norm.eval()


def settle(
    run: Callable[[], object],
    layers: Sequence[tuple[nn.Module, float, torch.Tensor | float]],
) -> None:
    """Scale layers (with their wanted spread and mean, one a channel) by what `run` sends through.

    Layers that feed one another need calls of their own, in order.
    """
    seen: list[list[torch.Tensor]] = [[] for _ in layers]
    hooks = [
        layer.register_forward_hook(lambda _m, _i, out, into=into: into.append(_rows(out)))
        for (layer, *_), into in zip(layers, seen, strict=True)
    ]
    with torch.no_grad():
        run()
    for hook in hooks:
        hook.remove()
    for (layer, spread, mean), rows in zip(layers, seen, strict=True):
        _scale(layer, torch.cat(rows), spread, mean)


def background_ahead(classes: int, first: bool) -> torch.Tensor:
    """Means of class logits: zero, but of the background, which stands `first` or last."""
    means = torch.zeros(classes + 1)
    means[0 if first else -1] = BACKGROUND_LEAD[classes]
    return means


def _rows(output: torch.Tensor) -> torch.Tensor:
    """[N,C,h,w] or [N,C] -> [M,C]."""
    return output.detach().movedim(1, -1).reshape(-1, output.shape[1])


def _scale(layer: nn.Module, rows: torch.Tensor, spread: float, mean: torch.Tensor | float) -> None:
    scale = spread / rows.std(0).clamp(min=1e-6)
    shape = [1] * layer.weight.ndim
    shape[1 if isinstance(layer, nn.ConvTranspose2d) else 0] = -1
    with torch.no_grad():
        layer.weight.mul_(scale.view(shape))
        layer.bias.copy_((layer.bias - rows.mean(0)) * scale + mean)
