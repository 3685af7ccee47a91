"""ReinMax with Gumbel-Rao: as its Jacobian, and as a control variate.

    m = (pi + D) / 2,   R_K = (1 / (K tau)) sum_k J(y_k) g,   y_k ~ softmax(V / tau) given D, for logits log m

    reinmax_rao:         2 R_K - (1/2) J(pi) g
    reinmax_cv:          reinmax at tau = 1  -  eta [(1/tau) J(y) g - R_K],     y one more draw like y_k
    reinmax_cv_released: the same with softmax((log m + y') / tau) for y,   y' drawn for the logits log pi

Properties: biased. ``reinmax_cv`` has the mean of ``reinmax`` at tau = 1 (second order) whatever eta, tau and
K, because its bracket has mean zero given D; as ``reinmax`` does not vary given D, the bracket can only add
variance, eta^2 (1 + 1/K) times that of one draw. The released program uses the relaxed sample where the noise
was meant: its bracket hardly varies, but has a mean, so that the estimator has another bias. They need the
gradient g of f at D. Memory does not grow with K.
Cost: one evaluation of f; K n random numbers per variable in the backward pass.
Source: Wang, Bui, "Beyond ReinMax: Low-Variance Gradient Estimators for Discrete Latent Variables", 2026.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._ops import draw, jacobian_product, log_probabilities, probabilities, tempered
from estimators._streams import draw_keys
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._posterior import mean_jacobian_product, relaxed_sample
from estimators.path._surrogate import attach, first_derivative_only
from estimators.path.zgr import second_order

_Draw = Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor]
"""The relaxed sample of the control variate: draw number K, the first that the average does not use."""


@drop_in
def reinmax_rao(
    logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    num_draws: int = 100,
    generator: Noise = None,
) -> Tensor:
    """Draw one-hot samples whose gradient is ReinMax with relaxed samples in its first Jacobian.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0 of the relaxed samples, a number or a tensor that broadcasts against
            ``logits[..., :1]``.
        num_draws: K >= 1.
        generator: source of noise, two uniform numbers per variable (see :func:`gumbel_rao`).

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature or ``num_draws`` out of range; a variable with all categories masked (eager
            mode on the CPU).
    """
    check_parameters("reinmax_rao", temperature=temperature, num_draws=num_draws)
    log_p = log_probabilities(logits)
    tau = lane_tensor("temperature", temperature, log_p)
    z = draw(probabilities(log_p), generator)
    key = draw_keys(log_p.shape[:-1], generator, device=log_p.device)
    rule = first_derivative_only(functools.partial(_rao_gradient, num_draws))
    return attach(logits, z, rule, log_p, tau, key)


@drop_in
def reinmax_cv(
    logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    num_draws: int = 100,
    eta: float | Tensor = 0.7,
    generator: Noise = None,
) -> Tensor:
    """Draw one-hot samples with the ReinMax gradient and a Gumbel-Rao control variate of mean zero.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0 of the relaxed samples, a number or a tensor that broadcasts against
            ``logits[..., :1]``. The ReinMax part has tau = 1.
        num_draws: K >= 1.
        eta: weight of the control variate, at least 0, a number or a tensor like ``temperature``.
        generator: source of noise, two uniform numbers per variable (see :func:`gumbel_rao`).

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature, ``eta`` or ``num_draws`` out of range; a variable with all categories masked
            (eager mode on the CPU).
    """
    check_parameters("reinmax_cv", temperature=temperature, num_draws=num_draws, eta=eta)
    return _control_variate(_intended_draw, logits, temperature, num_draws, eta, generator)


@drop_in
def reinmax_cv_released(
    logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    num_draws: int = 100,
    eta: float | Tensor = 0.7,
    generator: Noise = None,
) -> Tensor:
    """:func:`reinmax_cv` as the released program computes it, to reproduce published numbers.

    Arguments, result and errors are those of :func:`reinmax_cv`.
    """
    check_parameters("reinmax_cv_released", temperature=temperature, num_draws=num_draws, eta=eta)
    return _control_variate(_released_draw, logits, temperature, num_draws, eta, generator)


def _control_variate(
    one_draw: _Draw,
    logits: Tensor,
    temperature: float | Tensor,
    num_draws: int,
    eta: float | Tensor,
    generator: Noise,
) -> Tensor:
    log_p = log_probabilities(logits)
    tau, weight = lane_tensor("temperature", temperature, log_p), lane_tensor("eta", eta, log_p)
    z = draw(probabilities(log_p), generator)
    key = draw_keys(log_p.shape[:-1], generator, device=log_p.device)
    rule = first_derivative_only(functools.partial(_control_variate_gradient, one_draw, num_draws))
    return attach(logits, z, rule, log_p, tau, weight, key)


def _log_mixture(log_p: Tensor, z: Tensor) -> Tensor:
    """log m, from log m_j = log pi_j - log 2 for j != i: exact where pi_j underflows."""
    return torch.where(z.bool(), log_p.exp().log1p(), log_p) - math.log(2)


def _rao_gradient(num_draws: int, g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor, key: Tensor) -> Tensor:
    first = mean_jacobian_product(_log_mixture(log_p, z), z, g, tau, key, range(num_draws)) / tau
    return 2 * first - jacobian_product(probabilities(log_p), g) / 2


def _control_variate_gradient(
    one_draw: _Draw,
    num_draws: int,
    g: Tensor,
    z: Tensor,
    log_p: Tensor,
    tau: Tensor,
    eta: Tensor,
    key: Tensor,
) -> Tensor:
    average = mean_jacobian_product(_log_mixture(log_p, z), z, g, tau, key, range(num_draws))
    single = jacobian_product(one_draw(log_p, z, tau, key, num_draws), g)
    return second_order(g, z, log_p) - eta / tau * (single - average)


def _intended_draw(log_p: Tensor, z: Tensor, tau: Tensor, key: Tensor, number: int) -> Tensor:
    return relaxed_sample(_log_mixture(log_p, z), z, tau, key, number)


def _released_draw(log_p: Tensor, z: Tensor, tau: Tensor, key: Tensor, number: int) -> Tensor:
    return tempered(_log_mixture(log_p, z) + relaxed_sample(log_p, z, tau, key, number), tau)
