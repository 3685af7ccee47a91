"""Antithetic pairs: samples k and k + K/2 share their noise, u for the one and 1 - u for the other."""

from __future__ import annotations

import torch
from torch import Tensor


def pair_count(id: str, num_samples: int) -> int:
    """K/2, for an even K of at least 2."""
    if num_samples < 2 or num_samples % 2:
        raise ValueError(
            f"{id} draws its samples in pairs and needs an even num_samples >= 2, got {num_samples}; any "
            "number from 2 on suits `arms` (binary variables) and `rloo`"
        )
    return num_samples // 2


def antithetic_bits(p_off: Tensor, p_on: Tensor, u: Tensor, u_prime: Tensor) -> Tensor:
    """b = 1[1 - u < p_on] and b' = 1[u' < p_on], one after the other along axis 0, as booleans.

    The first is written 1[u > p_off]. That is the same event, and exact: 1 - u rounds to 1 for the smallest u
    and would then switch off a variable that cannot be off.
    """
    return torch.cat([u > p_off, u_prime < p_on])


def half_difference(f: Tensor) -> Tensor:
    """(1/2) (f(b) - f(b')) of every pair, ``(K/2, ...)``."""
    first, second = f.chunk(2)
    return (first - second) / 2
