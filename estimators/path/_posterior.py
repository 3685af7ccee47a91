"""Averages over relaxed Gumbel samples given the hard sample, in memory that hardly grows with their number.

Given D = e_i, perturbed logits V from their posterior satisfy, with independent unit exponentials E,

    V_j - V_i = log pi_j + log(E_i / (E_j + pi_j E_i))     for j != i,         y = softmax(V / tau)

which is exact for logits of any size, also where pi_j underflows, and gives weight 0 to pi_j = 0. For two
categories E_j / E_i = u / (1 - u), one uniform number makes it, and J(y) g has one free number:
J(y) g = y_i y_j (g_i - g_j) (e_i - e_j).

Draws are numbered; the noise of a draw is a function of the variable's key and that number
(:mod:`estimators._streams`).
A traced program has a few large blocks of draws; those of two categories a compiler keeps in registers, if
nothing but the sum is used twice (hence ``addcmul`` of one number with itself).
Shapes: M variables, C draws of a block; blocks hold categories first, ``(n, C, M)``, so that sums over
categories and draws run along contiguous variables.
Source: Paulus, Maddison, Krause, "Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator",
2021, for the posterior.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor

from estimators._fastmath import exp, log, log1p
from estimators._streams import keyed_uniform
from estimators._tracing import is_traced, stored
from estimators.path._blocks import CACHED_ELEMENTS, blocks, pairwise_sum, part
from estimators.path._two_categories import log_other, pair_product

DRAWS_PER_BLOCK = 64
"""Draws that are added up at once; fixed, so that rounding does not depend on the number of variables."""
TRACED_PAIR_DRAWS = 256
"""The same in a traced program, for two categories; what is recorded runs once as it is, in memory."""
TRACED_ELEMENTS, TRACED_BLOCKS = 2**20, 16
"""Numbers in a block of draws in a traced program (4 MB in float32), and most blocks."""


def mean_jacobian_product(
    log_p: Tensor, z: Tensor, g: Tensor, tau: Tensor, key: Tensor, draws: range
) -> Tensor:
    """Mean of J(y_k) g over the numbered draws.

    Args:
        log_p: log pi ``(..., n)``; -inf masks a category.
        z: the sample, one-hot ``(..., n)``.
        g: gradient of f at the sample ``(..., n)``.
        tau: temperature, broadcasts against ``log_p[..., :1]``.
        key: noise key of every variable ``(...)``.
        draws: numbers k of the draws.
    """
    if log_p.shape[-1] == 2:
        return pair_product(_pair_weight(log_p, z, tau, key, draws), z, g)
    rows = [_categories_first(x) for x in (g, log_p, z, _per_variable(tau, log_p), key.unsqueeze(-1))]
    if is_traced():
        total = functools.partial(_product_sum, *rows)
        size = _traced_draws_per_block(rows[0].numel(), len(draws))
        return _mean_over_draws(total, draws, size, key.device).T.reshape(log_p.shape)
    product = torch.empty_like(rows[0])
    draws_per_block = max(1, min(DRAWS_PER_BLOCK, CACHED_ELEMENTS // len(product)))
    for block in blocks(product, len(product) * draws_per_block):
        total = functools.partial(_product_sum, *(part(row, block) for row in rows))
        part(product, block).copy_(_mean_over_draws(total, draws, draws_per_block, key.device))
    return product.T.reshape(log_p.shape)


def relaxed_sample(log_p: Tensor, z: Tensor, tau: Tensor, key: Tensor, draw: int) -> Tensor:
    """y of one draw, ``(..., n)``."""
    log_p_nM, z_nM, tau_1M = (_categories_first(x) for x in (log_p, z, _per_variable(tau, log_p)))
    number_1 = torch.arange(draw, draw + 1, device=key.device)
    odds_nM = _odds(log_p_nM, z_nM, tau_1M, key.reshape(-1), number_1).squeeze(1)
    return (odds_nM / pairwise_sum(odds_nM, 0)).T.reshape(log_p.shape)


def _pair_weight(log_p: Tensor, z: Tensor, tau: Tensor, key: Tensor, draws: range) -> Tensor:
    """Mean of y_i y_j over the draws, ``(..., 1)``."""
    rows = [x.reshape(-1) for x in (log_other(log_p, z), _per_variable(tau, log_p), key)]
    if is_traced():
        mean = _mean_over_draws(functools.partial(_weight_sum, *rows), draws, TRACED_PAIR_DRAWS, key.device)
        return mean.reshape(*log_p.shape[:-1], 1)
    weight = torch.empty_like(rows[0])
    for block in blocks(weight, DRAWS_PER_BLOCK):
        total = functools.partial(_weight_sum, *(row[block] for row in rows))
        weight[block] = _mean_over_draws(total, draws, DRAWS_PER_BLOCK, key.device)
    return weight.reshape(*log_p.shape[:-1], 1)


def _weight_sum(log_p_M: Tensor, tau_M: Tensor, key_M: Tensor, k_C: Tensor) -> Tensor:
    """Sum of y_i y_j over draws, from odds y_j / y_i, which are at most 1."""
    u_CM = keyed_uniform(key_M, k_C.unsqueeze(-1), log_p_M.dtype)
    p_M = log_p_M.exp()
    x_CM = (log_p_M + torch.log((1 - u_CM) / (u_CM * (1 - p_M) + p_M))) / tau_M
    y_CM = (1 + torch.exp(-x_CM)).reciprocal()
    return pairwise_sum(torch.addcmul(y_CM, y_CM, y_CM, value=-1), 0)


def _product_sum(
    g_nM: Tensor, log_p_nM: Tensor, z_nM: Tensor, tau_M: Tensor, key_M: Tensor, k_C: Tensor
) -> Tensor:
    """Sum of J(y) g over draws."""
    odds_nCM = _odds(log_p_nM, z_nM, tau_M, key_M, k_C)
    g_n1M = g_nM.unsqueeze(1)
    total_CM = pairwise_sum(odds_nCM, 0)
    mean_g_CM = pairwise_sum(odds_nCM * g_n1M, 0) / total_CM
    return pairwise_sum(odds_nCM / total_CM * (g_n1M - mean_g_CM), 1)


def _odds(log_p_nM: Tensor, z_nM: Tensor, tau_M: Tensor, key_M: Tensor, k_C: Tensor) -> Tensor:
    """y_j / y_i ``(n, C, M)``, at most 1, the sample's own.

    Draw k takes the numbers k (n + 1) .. k (n + 1) + n of the variable's stream; the last makes E_i.
    """
    n = len(log_p_nM)
    first_C1 = k_C.unsqueeze(-1) * (n + 1)
    counter_nC1 = first_C1 + torch.arange(n, device=k_C.device).view(n, 1, 1)
    e_nCM = _exponential(key_M, counter_nC1, log_p_nM.dtype)
    drawn_CM = _exponential(key_M, first_C1 + n, log_p_nM.dtype)
    log_p_n1M, p_n1M = log_p_nM.unsqueeze(1), stored(log_p_nM.exp()).unsqueeze(1)
    behind_nCM = log_p_n1M + log(drawn_CM / (e_nCM + p_n1M * drawn_CM))
    return stored(torch.where(z_nM.unsqueeze(1) > 0, 1.0, exp(behind_nCM / tau_M)))


def _exponential(key_M: Tensor, counter: Tensor, dtype: torch.dtype) -> Tensor:
    """Unit exponentials, with small ones of full precision: they decide for small probabilities."""
    return stored(log1p(keyed_uniform(key_M, counter, dtype).neg_()).neg_())


def _traced_draws_per_block(numbers_per_draw: int, draws: int) -> int:
    """Few blocks, as each is a copy of the code, that fit a cache if that is few."""
    return max(1, TRACED_ELEMENTS // numbers_per_draw, -(-draws // TRACED_BLOCKS))


def _mean_over_draws(
    total: Callable[[Tensor], Tensor], draws: range, size: int, device: torch.device
) -> Tensor:
    """Mean over ``draws`` of terms that ``total`` sums, ``size`` numbered draws at a time."""
    parts = [draws[start : start + size] for start in range(0, len(draws), size)]
    numbers = (torch.arange(part.start, part.stop, device=device) for part in parts)
    result = total(next(numbers))
    for k_C in numbers:
        result = result + total(k_C)
    return result / len(draws)


def _per_variable(tau: Tensor, log_p: Tensor) -> Tensor:
    return tau.expand(*log_p.shape[:-1], 1)


def _categories_first(x: Tensor) -> Tensor:
    """``(..., n)`` as ``(n, M)``, contiguous."""
    return stored(x.reshape(-1, x.shape[-1]).T.clone(memory_format=torch.contiguous_format))
