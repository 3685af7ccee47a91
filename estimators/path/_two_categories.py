"""Two categories: J(y) g = y_i y_j (g_i - g_j) (e_i - e_j) has one free number, so one integral averages it.

The mean of y_i y_j given D = e_i, over the relaxed samples y of :mod:`estimators.path._posterior`. With
s = -log(y_j / y_i), which makes the integrand smooth at every temperature, and d = log pi_j + tau s,

    E[y_i y_j | D] / tau = integral over s > 0 of  e^-s / (1 + e^-s)^2  *  e^d / (e^d + pi_i)^2

The first factor has width 1 around s = 0, the second width 1/tau around s* = -log(pi_j) / tau, where d = 0.
One Gauss-Legendre rule on each side of s* resolves both. Each is cut where the integrand has fallen by e^-40.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._ops import at_sample, opposite
from estimators.path._blocks import blocks, pairwise_sum

NODES = 48
"""Per side. Relative error in float64 below 1e-10 for pi_j down to 1e-20, below 1e-9 down to 1e-40."""
_DECAY = 40.0


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
    """E[y_i y_j | D] / tau, ``(..., 1)``; 0 where the other category is masked."""
    log_p_j, p_i = log_other(log_p, z), at_sample(log_p, z).exp()
    rows = [x.reshape(-1) for x in (log_p_j, p_i, tau.expand_as(p_i))]
    weight = torch.empty_like(rows[0])
    for block in blocks(weight, NODES):
        weight[block] = _integral(*(row[block] for row in rows))
    return torch.where(log_p_j.isneginf(), 0.0, weight.reshape(log_p_j.shape))


def _integral(log_p_j: Tensor, p_i: Tensor, tau: Tensor) -> Tensor:
    peak = -log_p_j / tau
    length = torch.minimum(peak, _DECAY / (tau - 1).abs())
    start = torch.where(tau < 1, 0.0, peak - length)
    nodes, weights = _gauss_legendre(like=tau)
    below, above = start + length * nodes, peak + _DECAY / (1 + tau) * nodes
    near, far = torch.exp(tau * (below - peak)), torch.exp(tau * (peak - above))  # e^d and e^-d, at most 1
    left = _hump(below) * near / (near + p_i).square()
    right = _hump(above) * far / (1 + p_i * far).square()
    return length * pairwise_sum(weights * left, 0) + _DECAY / (1 + tau) * pairwise_sum(weights * right, 0)


def _hump(s: Tensor) -> Tensor:
    """e^-s / (1 + e^-s)^2 for s >= 0."""
    fall = torch.exp(-s)
    return fall / (1 + fall).square()


def _gauss_legendre(*, like: Tensor) -> tuple[Tensor, Tensor]:
    """Nodes and weights ``(NODES, 1)`` on (0, 1), from the Jacobi matrix (Golub and Welsch, 1969)."""
    k = torch.arange(1, NODES, dtype=torch.float64)
    beside = k / (4 * k.square() - 1).sqrt()
    values, vectors = torch.linalg.eigh(torch.diag(beside, 1) + torch.diag(beside, -1))
    nodes, weights = (values + 1) / 2, vectors[0].square()
    return nodes.unsqueeze(-1).to(like), weights.unsqueeze(-1).to(like)
