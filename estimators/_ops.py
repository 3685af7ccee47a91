"""Stable arithmetic on categorical variables; categories are the last axis, n of them."""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_logits, check_some_possible


def log_probabilities(logits: Tensor) -> Tensor:
    """log softmax(logits), detached. A masked category (logit -inf) has log-probability -inf.

    All further work starts from these numbers, not from the logits: they do not change when a constant is
    added to the logits, and the large ones are near 0, where floats are dense.

    Raises:
        TypeError, ValueError: see :mod:`estimators._checks`.
    """
    check_logits(logits)
    log_p = logits.detach().log_softmax(-1)
    check_some_possible(logits, log_p)
    return log_p


def tempered(log_p: Tensor, temperature: Tensor) -> Tensor:
    """pi_tau = softmax(theta / tau)."""
    return (log_p / temperature).softmax(-1)


def draw_one_hot(p: Tensor, uniforms: Tensor) -> Tensor:
    """Draw one-hot samples by inverting the cumulative distribution, with one uniform number per sample.

    Several times faster than ``torch.multinomial``. A category of probability zero is never drawn: it adds
    nothing to the cumulative sum, so the sum cannot exceed the target there first. Scaling the target by the
    total keeps it below the last entry whatever the sum rounds to.

    Args:
        p: probabilities ``(..., n)``, rows that sum to 1 up to rounding.
        uniforms: in (0, 1), ``(...)`` or with additional leading dimensions (K, ...).

    Returns:
        One-hot rows ``(*uniforms.shape, n)`` of the dtype of ``p``. Where ``p`` is NaN, category 0.
    """
    cumulative = p.cumsum(-1)
    if p.device.type != "cpu":
        cumulative = monotone(cumulative, p)
    target = uniforms.unsqueeze(-1) * cumulative[..., -1:]
    index = (cumulative <= target).sum(-1, keepdim=True)
    return p.new_zeros((*uniforms.shape, p.shape[-1])).scatter_(-1, index, 1.0)


def monotone(cumulative: Tensor, p: Tensor) -> Tensor:
    """Repair the rounding of a parallel cumulative sum: never falling, and level where p is zero.

    Accelerators add each prefix in an order of its own, so that neighbours may differ by an ulp either way.
    """
    return torch.where(p > 0, cumulative, 0.0).cummax(-1).values


def jacobian_product(p: Tensor, g: Tensor) -> Tensor:
    """J(p) g = p * (g - <p, g>), the product of the softmax Jacobian diag(p) - p p^T with g, in O(n)."""
    return p * (g - (p * g).sum(-1, keepdim=True))
