"""A sample with a surrogate gradient, in one autograd function.

A rule is the formula of an estimator: it maps g, the gradient of f at the sample z, to the gradient for the
logits, given z, log pi and what else the formula takes. It is linear in g; what it is applied to in forward
differentiation is its transpose, the same for a symmetric matrix. Second derivatives are those of the formula
as a function of the logits, with the noise held fixed; an average over draws has none
(:func:`first_derivative_only`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from estimators._autograd import apply, displacement, is_inlined, only_once
from estimators._ops import jacobian_product, log_softmax, tempered
from estimators._tracing import is_exported

Rule = Callable[..., Tensor]
"""``rule(g, z, log_p, *context)``."""

_MOST_CONTEXT = 3
"""Dynamo counts the parameters of a forward to tell whether it takes a context: there may be no ``*args``."""


def attach(
    logits: Tensor, z: Tensor, rule: Rule, log_p: Tensor, *context: Tensor, transpose: Rule | None = None
) -> Tensor:
    """``z``, of the type of ``logits``, which get the gradient ``rule(g, z, log_p, *context)``.

    Args:
        logits: ``(..., n)``.
        z: the sample, of the working type.
        rule: see the module.
        log_p: log pi, detached.
        context: further tensors that the rule takes, constants for differentiation.
        transpose: the transposed rule where its matrix is not symmetric.
    """
    rules = rule, transpose or rule
    if is_exported():
        return _written_out(logits, z, rules[1], log_p, *context)
    # Dynamo takes no function with a jvp, and needs none: it inlines what it differentiates forward.
    function = _Attach if torch.compiler.is_compiling() else _AttachWithTangents
    return apply(function, logits, z, rules, log_p, *context, *[None] * (_MOST_CONTEXT - len(context)))


def _written_out(logits: Tensor, z: Tensor, transpose: Rule, log_p: Tensor, *context: Tensor) -> Tensor:
    """The sample as a function of the logits; see :mod:`estimators._autograd`."""
    moved = transpose(displacement(logits).to(z.dtype), z, log_p, *context)
    return (z + moved).to(logits.dtype)


def jacobian_rule(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    """(1/tau) J(pi_tau) g, the gradient through a softmax at temperature tau."""
    return jacobian_product(tempered(log_p, tau), g) / tau


def first_derivative_only(rule: Rule) -> Rule:
    """``rule``, computed without a graph, and an error where its derivative is asked for."""

    def once(g: Tensor, z: Tensor, log_p: Tensor, *context: Tensor) -> Tensor:
        if torch.compiler.is_compiling():
            return rule(g, z, log_p, *context)
        with torch.no_grad():
            gradient = rule(g, z, log_p, *context)
        return only_once(gradient, _NO_SECOND_DERIVATIVE, g, log_p)

    return once


_NO_SECOND_DERIVATIVE = (
    "an average over relaxed draws has no second derivative here, it would hold the graph of every draw; for "
    "a gradient penalty use `stgs`, `reinmax` or `zgr`"
)


class _Attach(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(
        logits: Tensor,
        z: Tensor,
        rules: tuple[Rule, Rule],
        log_p: Tensor,
        first: Tensor | None,
        second: Tensor | None,
        third: Tensor | None,
    ) -> Tensor:
        if is_inlined():
            context = [x for x in (first, second, third) if x is not None]
            return _written_out(logits, z, rules[1], log_p, *context)
        return z.to(logits.dtype, copy=True)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        logits, z, rules, log_p, *context = inputs
        ctx.rules = rules
        ctx.save_for_backward(logits, z, log_p, *(x for x in context if x is not None))

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        logits, z, log_p, *context = ctx.saved_tensors
        if torch.is_grad_enabled():
            log_p = log_softmax(logits)
        gradient = ctx.rules[0](g.to(z.dtype), z, log_p, *context)
        return gradient.to(logits.dtype), *[None] * (3 + _MOST_CONTEXT)


class _AttachWithTangents(_Attach):
    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _Attach.setup_context(ctx, inputs, output)
        ctx.save_for_forward(*(x for x in inputs if isinstance(x, Tensor)))

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: Any) -> Tensor:
        logits, z, _, *context = ctx.saved_tensors
        moved: Tensor = ctx.rules[1](tangent.to(z.dtype), z, log_softmax(logits), *context)
        return moved.to(logits.dtype)
