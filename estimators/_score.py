"""What the estimators that work on values of f share: sampling, evaluation, attaching the gradient.

Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from estimators._autograd import apply
from estimators._noise import uniform
from estimators._ops import draw_one_hot, log_probabilities
from estimators._types import Estimate, Noise, Objective


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


def values_and_gradients(objective: Objective, points: Tensor) -> tuple[Tensor, Tensor]:
    """f at ``points``, differentiable in its own parameters, and its gradient there, detached."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        values = evaluate(objective, leaf)
    return values, gradient_at(leaf, values.sum(), retain_graph=True)


def gradient_at(
    point: Tensor, value: Tensor, *, retain_graph: bool = False, create_graph: bool = False
) -> Tensor:
    """Derivative of ``value``, made from values of the objective, by ``point``.

    Raises:
        ValueError: the objective does not depend differentiably on its argument.
    """
    gradient = None
    if value.requires_grad:
        (gradient,) = torch.autograd.grad(
            value,
            point,
            retain_graph=retain_graph or create_graph,
            create_graph=create_graph,
            allow_unused=True,
        )
    if gradient is None:
        raise ValueError(
            "the estimator needs the gradient of the objective, whose values do not depend differentiably on "
            "the samples; compute them from the samples without argmax or detach, or use `rloo`"
        )
    return gradient


def leave_one_out(x: Tensor) -> Tensor:
    """For every k the mean of x over the other K - 1 entries of axis 0."""
    return (x.sum(0) - x) / (x.shape[0] - 1)


def score_gradient(weights: Tensor, samples: Tensor, p: Tensor) -> Tensor:
    """(1/K) sum_k weights_k (D_k - pi) for weights ``(K, ...)``."""
    return (weights[..., None, None] * (samples - p)).mean(0)


def make_estimate(
    logits: Tensor,
    gradient: Tensor,
    *,
    samples: Tensor,
    values: Tensor,
    evaluations: int,
    state: Mapping[str, Tensor] | None = None,
) -> Estimate:
    """An estimate whose surrogate is the mean of ``values`` over K and has ``gradient`` for ``logits``."""
    return Estimate(
        surrogate=attach_gradient(values.mean(0), logits, gradient),
        samples=samples,
        values=values.detach(),
        evaluations=evaluations,
        state={} if state is None else {name: value.detach() for name, value in state.items()},
    )


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
