"""What the estimators that work on values of f share: evaluation, and attaching the gradient.

f gets samples of the type of the logits and returns values of any real type; estimates are computed in
:func:`~estimators._checks.working_dtype`, so that neither half precision nor what f returns shows in them.

Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from estimators._autograd import apply, displacement, full_precision, is_inlined, only_once
from estimators._ops import log_probabilities
from estimators._tracing import is_exported
from estimators._types import Estimate, Objective


def variable_log_probabilities(logits: Tensor) -> Tensor:
    """:func:`log_probabilities` of logits that must have the axes ``(..., V, n)``."""
    if logits.dim() < 2:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)}, expected (..., variables, categories); "
            "for a single variable use logits.unsqueeze(-2)"
        )
    return log_probabilities(logits)


def evaluate(objective: Objective, samples: Tensor, logits: Tensor, *, per_variable: bool = False) -> Tensor:
    """f at ``samples``, one floating-point value for each.

    Args:
        objective: f.
        samples: ``(K, ..., V, n)``.
        logits: of whose type f gets its samples.
        per_variable: whether the objective keeps V as its last axis.

    Raises:
        TypeError: f returns something other than real numbers.
        ValueError: values of another shape; f writes into its samples, of which the estimate is made.
    """
    given = samples.to(logits.dtype)
    version = _version(given)
    values = objective(given)
    if not isinstance(values, Tensor) or values.is_complex():
        came = f"{values.dtype} values" if isinstance(values, Tensor) else f"{type(values).__name__}"
        raise TypeError(f"the objective returned {came}, expected a tensor of real numbers, one per sample")
    expected = samples.shape[:-1] if per_variable else samples.shape[:-2]
    if values.shape != expected:
        raise ValueError(
            f"the objective returned shape {tuple(values.shape)} for samples of shape "
            f"{tuple(samples.shape)}, expected {tuple(expected)}; average neither over samples nor over rows"
        )
    if _version(given) != version:
        raise ValueError(
            "the objective writes into its samples, which the estimate is made of: let it work on a copy, "
            "samples.clone()"
        )
    return values if values.is_floating_point() else values.to(samples.dtype)


def _version(tensor: Tensor) -> int:
    """Counts what was written into ``tensor``; 0 where torch does not count."""
    return 0 if torch.compiler.is_compiling() or tensor.is_inference() else tensor._version


def values_and_gradients(objective: Objective, points: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """f at ``points``, differentiable in its own parameters, and its gradient there, detached."""
    with torch.enable_grad():
        leaf = points.detach().requires_grad_()
        values = evaluate(objective, leaf, logits)
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
        with full_precision(point.device):
            (gradient,) = torch.autograd.grad(
                value,
                point,
                retain_graph=retain_graph or create_graph,
                create_graph=create_graph,
                allow_unused=True,
            )
    if gradient is None:
        raise ValueError(NEEDS_GRADIENT)
    return gradient


NEEDS_GRADIENT = (
    "the estimator needs the gradient of the objective, whose values do not depend differentiably on "
    "the samples; compute them from the samples without argmax or detach, or use `rloo`"
)


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
        samples=samples.to(logits.dtype),
        values=values.detach(),
        evaluations=evaluations,
        state={} if state is None else {name: value.detach() for name, value in state.items()},
    )


def attach_gradient(value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """``value`` with its own ordinary gradient, and with ``gradient`` ``(..., V, n)`` for ``logits``."""
    if is_exported():
        return _written_out(value, logits, gradient.detach())
    # As in estimators.path._surrogate.
    function = _AttachGradient if torch.compiler.is_compiling() else _AttachGradientWithTangents
    return apply(function, value, logits, gradient.detach())


def _written_out(value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
    """The value as a function of the logits; see :mod:`estimators._autograd`."""
    return value + _along(displacement(logits), gradient).to(value.dtype)


def _along(tangent: Tensor, gradient: Tensor) -> Tensor:
    return (tangent.to(gradient.dtype) * gradient).sum((-1, -2))


_NO_SECOND_DERIVATIVE = (
    "the gradient of an estimate from values of f has no second derivative here; for a gradient penalty use "
    "`stgs`, `reinmax` or `zgr`, or enumerate f by hand"
)


class _AttachGradient(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value: Tensor, logits: Tensor, gradient: Tensor) -> Tensor:
        return _written_out(value, logits, gradient) if is_inlined() else value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _, logits, gradient = inputs
        ctx.save_for_backward(logits, gradient)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor, None]:
        logits, gradient = ctx.saved_tensors
        scaled = (g[..., None, None].to(gradient.dtype) * gradient).to(logits.dtype)
        return g, only_once(scaled, _NO_SECOND_DERIVATIVE, logits, g), None


class _AttachGradientWithTangents(_AttachGradient):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        _AttachGradient.setup_context(ctx, inputs, output)
        _, logits, gradient = inputs
        ctx.save_for_forward(logits, gradient)

    @staticmethod
    def jvp(ctx: Any, moved: Tensor | None, tangent: Tensor | None, _: None) -> Tensor:
        _, gradient = ctx.saved_tensors
        own = (
            torch.zeros(gradient.shape[:-2], dtype=gradient.dtype, device=gradient.device)
            if moved is None
            else moved
        )
        return own if tangent is None else own + _along(tangent, gradient).to(own.dtype)
