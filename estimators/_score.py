"""What the estimators that work on values of f share: sampling, evaluation, attaching the gradient.

Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from estimators._autograd import apply
from estimators._noise import uniform
from estimators._ops import draw_one_hot, log_probabilities
from estimators._types import Noise, Objective


def variable_log_probabilities(logits: Tensor) -> Tensor:
    """:func:`log_probabilities` of logits that must have the axes ``(..., V, n)``."""
    if logits.dim() < 2:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, expected (..., variables, categories); "
            "for a single variable use logits.unsqueeze(-2)"
        )
    return log_probabilities(logits)


def draw_samples(p: Tensor, num_samples: int, generator: Noise) -> Tensor:
    """K independent one-hot samples ``(K, ..., V, n)`` of every variable.

    The noise is drawn as ``(..., V, K)``: its first axis is the lane axis, as a noise source expects.
    """
    shape = (*p.shape[:-1], num_samples)
    uniforms = uniform(shape, generator, dtype=p.dtype, device=p.device)
    return draw_one_hot(p, uniforms.movedim(-1, 0))


def evaluate(objective: Objective, samples: Tensor, *, per_variable: bool = False) -> Tensor:
    """f at ``samples``, one value for each; ``per_variable``: the objective keeps V as its last axis."""
    values = objective(samples)
    expected = samples.shape[:-1] if per_variable else samples.shape[:-2]
    if values.shape != expected:
        raise ValueError(
            f"the objective returned shape {tuple(values.shape)} for samples of shape "
            f"{tuple(samples.shape)}, expected {tuple(expected)}; average neither over samples nor over rows"
        )
    return values


def attach_gradient(value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """``value`` with its own ordinary gradient, and with ``gradient`` ``(..., V, n)`` for ``logits``."""
    return apply(_AttachGradient, value, logits, gradient.detach().to(logits.dtype))


class _AttachGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return g, (g[..., None, None] * gradient).to(gradient.dtype), None
