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

    Args:
        p_off, p_on: both probabilities, each with its own digits.
        u, u_prime: float64, so that what is rare is decided as it should be at both ends.
    """
    off = torch.where(p_off <= p_on, p_off.double(), 1 - p_on.double())
    on = torch.where(p_off <= p_on, 1 - p_off.double(), p_on.double())
    return torch.cat([u > off, u_prime < on])


def half_difference(f: Tensor) -> Tensor:
    """(1/2) (f(b) - f(b')) of every pair, ``(K/2, ...)``; samples k and k + K/2 are a pair."""
    first, second = f.chunk(2)
    return (first - second) / 2
