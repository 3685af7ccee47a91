"""Two categories: J(y) g = y_i y_j (g_i - g_j) (e_i - e_j) has one free number, so one integral averages it.

The mean of y_i y_j given D = e_i, over the relaxed samples y of :mod:`estimators.path._posterior`. With
s = -log(y_j / y_i), which makes the integrand smooth at every temperature, and d = log pi_j + tau s,

    E[y_i y_j | D] / tau = integral over s > 0 of  e^-s / (1 + e^-s)^2  *  e^d / (e^d + pi_i)^2

The first factor has width 1 around s = 0, the second width 1/tau around s* = -log(pi_j) / tau, where d = 0.
One Gauss-Legendre rule on each side of s* resolves both. Each is cut where the integrand has fallen by e^-40,
in float32 by e^-18.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from estimators._ops import at_sample, distinct, opposite
from estimators._tracing import stored
from estimators.path._blocks import blocks, pairwise_sum

_RULES = {torch.float64: (48, 40.0), torch.float32: (24, 18.0)}
"""Nodes per side, and the decay. Relative error in float64 below 1e-10 for pi_j down to 1e-20, below 1e-9
down to 1e-40; in float32, rounding included, below 1e-5."""


def weighted_difference(g: Tensor, z: Tensor, weight: Tensor) -> Tensor:
    """w (g_0 - g_1) (e_0 - e_1), ``weight`` ``(..., V)``."""
    return opposite(weight * (g[..., 0] - g[..., 1]))


def outcome_difference(g: Tensor, z: Tensor, weight_0: Tensor, weight_1: Tensor) -> Tensor:
    """The same with a weight for D = e_0 and one for D = e_1."""
    return weighted_difference(g, z, torch.where(z[..., 0] > 0, weight_0, weight_1))


def pair_product(weight: Tensor, z: Tensor, g: Tensor) -> Tensor:
    """The same as (g_i - g_j) (e_i - e_j), whichever was drawn; ``weight`` ``(..., 1)``."""
    return weighted_difference(g, z, weight.squeeze(-1))


def log_other(log_p: Tensor, z: Tensor) -> Tensor:
    """log pi_j of the category that was not drawn, ``(..., 1)``."""
    return torch.where(z[..., 0] > 0, log_p[..., 1], log_p[..., 0]).unsqueeze(-1)


def expected_pair_weight(log_p: Tensor, z: Tensor, tau: Tensor) -> Tensor:
    """E[y_i y_j | D] / tau, ``(..., 1)``; 0 where the other category is masked.

    Copies that share their probabilities (an expanded axis) and their temperature share the integrals for the
    two outcomes, where those are fewer than the copies.
    """
    both, _ = torch.broadcast_tensors(distinct(log_p), tau)
    if both.numel() >= log_p.numel() // 2:
        return _mean_weight(log_other(log_p, z), at_sample(log_p, z).exp(), tau)
    weights = stored(_mean_weight(both.flip(-1), both.exp(), tau))
    weight_0, weight_1 = weights.split(1, -1)
    return torch.where(z[..., :1] > 0, weight_0, weight_1)


def _mean_weight(log_p_j: Tensor, p_i: Tensor, tau: Tensor) -> Tensor:
    """The integral of the module for every entry."""
    alike = tau.numel() == 1  # what follows from nodes and tau alone is then computed once
    rows = [x.reshape(-1) for x in (log_p_j, p_i, tau if alike else tau.expand_as(p_i))]
    weight = torch.empty_like(rows[0])
    for block in blocks(weight, _RULES[torch.float64][0]):
        weight[block] = _integral(*(row if len(row) == 1 else row[block] for row in rows))
    return torch.where(log_p_j.isneginf(), 0.0, weight.reshape(log_p_j.shape))


def _integral(log_p_j: Tensor, p_i: Tensor, tau: Tensor) -> Tensor:
    nodes, weights, decay = _rule(like=tau)
    peak, slope = -log_p_j / tau, decay / (1 + tau)
    length = torch.minimum(peak, decay / (tau - 1).abs())
    start = torch.where(tau < 1, 0.0, peak - length)
    below = start + length * nodes
    near, far = torch.exp(tau * (below - peak)), torch.exp(-tau * slope * nodes)  # e^d and e^-d, at most 1
    left = length * _hump(torch.exp(-below)) * near / (near + p_i).square()
    right = slope * _hump(torch.exp(-peak) * torch.exp(-slope * nodes)) * far / (1 + p_i * far).square()
    return pairwise_sum(weights * (left + right), 0)


def _hump(fall: Tensor) -> Tensor:
    """e^-s / (1 + e^-s)^2 of e^-s <= 1."""
    return fall / (1 + fall).square()


def _rule(*, like: Tensor) -> tuple[Tensor, Tensor, float]:
    """Nodes and weights ``(nodes, 1)`` on (0, 1), and the decay at which an integrand is cut."""
    count, decay = _RULES.get(like.dtype, _RULES[torch.float32])
    nodes, weights = (
        torch.tensor(column, dtype=torch.float64).unsqueeze(-1) for column in _gauss_legendre(count)
    )
    return nodes.to(like), weights.to(like), decay


@functools.cache
def _gauss_legendre(count: int) -> tuple[list[float], list[float]]:
    """Nodes and weights on (0, 1): roots of the Legendre polynomial by Newton's method.

    With x a root of P_n on (-1, 1), the weight on (0, 1) is 1 / ((1 - x^2) P_n'(x)^2).
    """
    roots, weights = [], []
    for i in range(count):
        x = math.cos(math.pi * (i + 0.75) / (count + 0.5))
        for _ in range(10):
            value, slope = _legendre(count, x)
            x -= value / slope
        _, slope = _legendre(count, x)
        roots.append((1 - x) / 2)
        weights.append(1 / ((1 - x * x) * slope * slope))
    return roots, weights


def _legendre(n: int, x: float) -> tuple[float, float]:
    """P_n(x) and its derivative, by the three-term recurrence."""
    before, value = 1.0, x
    for k in range(2, n + 1):
        before, value = value, ((2 * k - 1) * x * value - (k - 1) * before) / k
    return value, n * (x * value - before) / (x * x - 1)
