"""Layers that the references of several networks share, by the names of their weights."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

Weights = Mapping[str, Tensor]


def linear(weights: Weights, name: str, x: Tensor) -> Tensor:
    """A linear layer of the last axis, with a bias where there is one."""
    return F.linear(x, weights[f"{name}.weight"], weights.get(f"{name}.bias"))


def layer_norm(weights: Weights, name: str, x: Tensor, *, eps: float) -> Tensor:
    """LayerNorm of the last axis."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    return F.layer_norm(x, weight.shape, weight, bias, eps)
