"""Bernoulli variables as variables of two categories: category 1 is "on", with logit theta_1 - theta_0."""

from __future__ import annotations

import torch
from torch import Tensor


def bernoulli_pair(eta: Tensor) -> Tensor:
    """Bernoulli logits ``(..., V)`` as the pairs ``(0, eta)``, ``(..., V, 2)``, that estimators take.

    A gradient h for eta is (-h, h) for its pair, of which the constant 0 keeps nothing: what arrives in
    ``eta.grad`` is h, the gradient of the single logit.
    """
    return torch.stack([torch.zeros_like(eta), eta], -1)


def check_binary(id: str, logits: Tensor, *, alternatives: str) -> None:
    """Refuse variables that have not exactly two categories."""
    if logits.shape[-1:] != (2,):
        raise ValueError(
            f"{id} takes binary variables, logits (..., V, 2), and got shape {tuple(logits.shape)}; for any "
            f"number of categories use {alternatives}"
        )


def one_hot_bits(bits: Tensor, like: Tensor) -> Tensor:
    """Booleans ``(...)`` as one-hot pairs ``(..., 2)`` of the dtype of ``like``."""
    return torch.stack([~bits, bits], -1).to(like.dtype)


def pair_gradient(h: Tensor) -> Tensor:
    """The gradient for the pair, given the one for eta."""
    return torch.stack([-h, h], -1)


def antithetic_bits(p_off: Tensor, p_on: Tensor, u: Tensor, u_prime: Tensor) -> Tensor:
    """b = 1[1 - u < p_on] and b' = 1[u' < p_on], one after the other along axis 0, as booleans.

    The first is written 1[u > p_off]. That is the same event, and exact: 1 - u rounds to 1 for the smallest u
    and would then switch off a variable that cannot be off.

    Args:
        p_off: for u, from :func:`in_float64`.
        p_on: for u', likewise.
        u, u_prime: float64.
    """
    return torch.cat([u > p_off, u_prime < p_on])


def in_float64(p: Tensor, other: Tensor) -> Tensor:
    """One of two probabilities that sum to 1, from the smaller, which has its digits also in float32."""
    return torch.where(p <= other, p.double(), 1 - other.double())


def half_difference(f: Tensor) -> Tensor:
    """(1/2) (f(b) - f(b')) of every pair, ``(K/2, ...)``; samples k and k + K/2 are a pair."""
    first, second = f.chunk(2)
    return (first - second) / 2
