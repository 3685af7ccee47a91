"""A sample with a surrogate gradient, in one autograd function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from estimators._autograd import apply
from estimators._ops import jacobian_product

Rule = Callable[..., Tensor]
"""Maps g, the gradient of f at the sample z, z, and what was saved to the gradient for the logits."""


def attach(logits: Tensor, z: Tensor, rule: Rule, *saved: Tensor) -> Tensor:
    """``z`` in value; backward gives ``logits`` the gradient ``rule(g, z, *saved)``."""
    return apply(_Attach, logits, z, rule, *saved)


def jacobian_rule(g: Tensor, z: Tensor, y: Tensor, tau: Tensor) -> Tensor:
    """(1/tau) J(y) g, the gradient through a softmax at temperature tau with value y."""
    return jacobian_product(y, g) / tau


class _Attach(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, z: Tensor, rule: Rule, *saved: Tensor) -> Tensor:
        ctx.rule = rule
        ctx.save_for_backward(z, *saved)
        return z.view_as(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:
        rule: Rule = ctx.rule
        return rule(g, *ctx.saved_tensors), *[None] * (len(ctx.needs_input_grad) - 1)
