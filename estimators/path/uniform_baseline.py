"""Surrogates with the uniform average of f as baseline, in place of E f.

    st_uniform_baseline:            (1 / (n pi_i)) (1/tau) J(pi_tau) g
    reinmax_mean_baseline:          (1/2) [(g_i - mean g) (D - pi) + J(pi) g / (n pi_tau,i)]
    reinmax_mean_baseline_released: (1/2) [(g_i - mean g) (D - pi)
                                           + (D pi g - pi <pi, g>) / (n pi_tau,i + 1e-12)]

with i the sampled category; n and the mean are over the possible categories. The last is what the released
kernel computes: the one-hot sample multiplies pi g, so its second term is no Jacobian product.

Properties: biased. At tau = 1 the first is exact in the mean for affine f (first order), the second for
quadratic f (second order). The third has neither order, its entries do not sum to zero, and adding a constant
to g changes it; it is here to reproduce published numbers. Divisions by pi_i make all variances unbounded as
pi_i goes to 0. They need the gradient g of f at D.
Cost: one evaluation of f.
Source: st_uniform_baseline: Gregor, Danihelka, Mnih, Blundell, Wierstra, "Deep AutoRegressive Networks",
2014; Pervez, Cohen, Gavves, "Low Bias Low Variance Gradient Estimates for Boolean Stochastic Networks", 2020.
The others: Liu, Dong, Liu, Yu, Gao, "Bridging Discrete and Backpropagation: Straight-Through and Beyond",
2023.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._ops import (
    at_sample,
    centred_jacobian_product,
    draw,
    log_probabilities,
    log_tempered,
    probabilities,
)
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._surrogate import attach

_RELEASED_EPS = 1e-12


@drop_in
def st_uniform_baseline(
    logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None
) -> Tensor:
    """Draw one-hot samples with the straight-through gradient, weighted by 1 / (n pi_i).

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only.
        generator: source of noise, one uniform number per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("st_uniform_baseline", temperature=temperature)
    log_p, z, tau = _sample(logits, temperature, generator)
    return attach(logits, z, _weighted_straight_through, log_p, tau)


@drop_in
def reinmax_mean_baseline(
    logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None
) -> Tensor:
    """Draw one-hot samples with the Heun step taken from the uniform average, as derived in the paper.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only, through pi_tau,i; values from 1 are usual, below 1 the weights of rare samples grow
            like a higher power of 1 / pi_i.
        generator: source of noise, one uniform number per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("reinmax_mean_baseline", temperature=temperature)
    log_p, z, tau = _sample(logits, temperature, generator)
    return attach(logits, z, _mean_baseline, log_p, tau, transpose=_mean_baseline_transposed)


@drop_in
def reinmax_mean_baseline_released(
    logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None
) -> Tensor:
    """Draw one-hot samples with the gradient of the released kernel, which differs from the derivation.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: as for :func:`reinmax_mean_baseline`.
        generator: source of noise, one uniform number per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("reinmax_mean_baseline_released", temperature=temperature)
    log_p, z, tau = _sample(logits, temperature, generator)
    return attach(logits, z, _mean_baseline_released, log_p, tau, transpose=_released_transposed)


def _sample(logits: Tensor, temperature: float | Tensor, generator: Noise) -> tuple[Tensor, Tensor, Tensor]:
    """log pi, the sample and tau."""
    log_p = log_probabilities(logits)
    tau = lane_tensor("temperature", temperature, log_p)
    return log_p, draw(probabilities(log_p), generator), tau


def _possible(log_p: Tensor) -> Tensor:
    return log_p.isneginf().logical_not().to(log_p.dtype)


def _log_count(log_p: Tensor) -> Tensor:
    """log n, n the number of possible categories, ``(..., 1)``."""
    return _possible(log_p).sum(-1, keepdim=True).log()


def _mean_weights(log_p: Tensor) -> Tensor:
    """1/n at possible categories, 0 elsewhere."""
    possible = _possible(log_p)
    return possible / possible.sum(-1, keepdim=True)


def _bounded_exp(log_weight: Tensor) -> Tensor:
    """e^x, at most the square root of the largest number.

    At small temperatures 1 / pi_tau,i leaves what can be represented, and would make the gradient infinite.
    """
    return log_weight.clamp_max(math.log(torch.finfo(log_weight.dtype).max) / 2).exp()


def _weighted_straight_through(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    log_p_tau = log_tempered(log_p, tau)
    weight = _bounded_exp(log_p_tau - _log_count(log_p) - at_sample(log_p, z) - tau.log())
    return centred_jacobian_product(log_p_tau.exp(), g, weight=weight)


def _mean_baseline(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    return (_heun_baseline(g, z, log_p) + _jacobian_over_count(g, z, log_p, tau)) / 2


def _mean_baseline_transposed(t: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    return (_heun_baseline_transposed(t, z, log_p) + _jacobian_over_count(t, z, log_p, tau)) / 2


def _mean_baseline_released(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    return (_heun_baseline(g, z, log_p) + _released_second(g, z, log_p, tau)) / 2


def _released_transposed(t: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    return (_heun_baseline_transposed(t, z, log_p) + _released_second(t, z, log_p, tau)) / 2


def _heun_baseline(g: Tensor, z: Tensor, log_p: Tensor) -> Tensor:
    """(g_i - mean g) (D - pi)."""
    from_sample = g - (z * g).sum(-1, keepdim=True)
    return (_mean_weights(log_p) * from_sample).sum(-1, keepdim=True) * (probabilities(log_p) - z)


def _heun_baseline_transposed(t: Tensor, z: Tensor, log_p: Tensor) -> Tensor:
    """<D - pi, t> (D - mean), with the uniform weights for mean."""
    return ((z - probabilities(log_p)) * t).sum(-1, keepdim=True) * (z - _mean_weights(log_p))


def _jacobian_over_count(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    """J(pi) g / (n pi_tau,i); its own transpose."""
    log_weight = log_p - _log_count(log_p) - at_sample(log_tempered(log_p, tau), z)
    return centred_jacobian_product(probabilities(log_p), g, weight=_bounded_exp(log_weight))


def _released_second(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    """(D pi g - pi <pi, g>) / (n pi_tau,i + 1e-12); its own transpose."""
    p, p_i = probabilities(log_p), at_sample(log_tempered(log_p, tau), z).exp()
    weight = 1 / (p_i * _log_count(log_p).exp() + _RELEASED_EPS)
    return (z * p * g - p * (p * g).sum(-1, keepdim=True)) * weight
