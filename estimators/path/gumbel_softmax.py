"""Gumbel-softmax: soft, straight-through, and straight-through with two temperatures.

    V_k = theta_k + G_k,   D = onehot(argmax V),   y = softmax(V / tau),   gradient = (1/tau) J(y) g

with G_k independent standard Gumbel numbers; for two categories their difference is logistic, and one uniform
number makes it. ``gumbel_softmax`` gives y to f and takes g there; ``stgs`` gives D to f and takes g there;
``decoupled_stgs`` is ``stgs`` with D = onehot(argmax(theta / tau_f + G)), a forward temperature of its own.

Properties: biased, even for affine f (``gumbel_softmax`` is unbiased for its relaxed objective E[f(y)]); the
bias grows with tau, the variance like 1/tau as tau goes to 0. Temperatures up to 1 are usual. A forward
temperature other than 1 samples from softmax(theta / tau_f), so it changes the objective too.
Cost: one evaluation of f; n random numbers per variable, one for two categories.
Source: Jang, Gu, Poole, "Categorical Reparameterization with Gumbel-Softmax", 2017; Maddison, Mnih, Teh, "The
Concrete Distribution", 2017; Shah, Yan, Mozer, Liu, "Improving Discrete Optimisation Via Decoupled
Straight-Through Gumbel-Softmax", 2024.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._fastmath import exp, log
from estimators._noise import centred, exponential
from estimators._ops import (
    chosen_of_two,
    distinct,
    jacobian_product,
    log_probabilities,
    one_hot,
    opposite,
    scaled,
    tempered,
)
from estimators._tracing import stored
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._surrogate import attach


@drop_in
def stgs(logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None) -> Tensor:
    """Draw one-hot samples by the Gumbel-max trick, with the gradient of the relaxed sample.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only.
        generator: source of noise, n uniform numbers per variable (one for n = 2).

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("stgs", temperature=temperature)
    log_p = log_probabilities(logits)
    noise = gumbel(log_p, generator)
    return _straight_through(logits, _sample(log_p, noise), log_p, noise, temperature)


@drop_in
def decoupled_stgs(
    logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    forward_temperature: float | Tensor = 1.0,
    generator: Noise = None,
) -> Tensor:
    """:func:`stgs` whose samples have a temperature of their own.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0 of the gradient, a number or a tensor that broadcasts against
            ``logits[..., :1]``.
        forward_temperature: tau_f > 0 of the samples, likewise; 1 gives :func:`stgs`.
        generator: source of noise, n uniform numbers per variable (one for n = 2).

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot, distributed as softmax(logits / tau_f).

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: a temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("decoupled_stgs", temperature=temperature, forward_temperature=forward_temperature)
    log_p = log_probabilities(logits)
    tau_f = lane_tensor("forward_temperature", forward_temperature, log_p)
    noise = gumbel(log_p, generator)
    return _straight_through(logits, _sample(scaled(log_p, tau_f), noise), log_p, noise, temperature)


@drop_in
def gumbel_softmax(logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None) -> Tensor:
    """Draw relaxed samples, points of the simplex that come close to one-hot as the temperature falls.

    The only estimator here whose forward value is soft. Whoever reports the objective must evaluate f at hard
    samples.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``.
        generator: source of noise, n uniform numbers per variable (one for n = 2).

    Returns:
        y of the shape and dtype of ``logits``; rows sum to 1, their arg max is a sample of softmax(logits).

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("gumbel_softmax", temperature=temperature)
    log_p = log_probabilities(logits)
    noise, tau = gumbel(log_p, generator), lane_tensor("temperature", temperature, log_p)
    return attach(logits, _relaxed(log_p, noise, tau), _relaxed_rule, log_p, noise, tau)


def _relaxed_rule(g: Tensor, z: Tensor, log_p: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    return jacobian_product(_relaxed(log_p, noise, tau), g) / tau


def _relaxed(log_p: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    return tempered(_perturbed(log_p, noise), tau)


def gumbel(log_p: Tensor, generator: Noise) -> Tensor:
    """What the log-probabilities are perturbed with.

    G = -log E with E a unit exponential for every category; for two of them G_0 - G_1 = log(u / (1 - u)),
    ``(..., 1)``.
    """
    if log_p.shape[-1] != 2:
        return stored(-log(exponential(log_p.shape, generator, dtype=log_p.dtype, device=log_p.device)))
    x = centred((*log_p.shape[:-1], 1), generator, dtype=log_p.dtype, device=log_p.device)
    below = log(x.abs() / (1 - x.abs()))
    return stored(torch.where(x < 0, -below, below))


def _perturbed(log_p: Tensor, noise: Tensor) -> Tensor:
    """V counted from its largest entry: V / tau itself would lose digits at small temperatures."""
    if log_p.shape[-1] == 2:
        return opposite(_ahead(log_p, noise)).clamp_max(0)
    v = log_p + noise
    return v - v.amax(-1, keepdim=True)


def _ahead(log_p: Tensor, noise: Tensor) -> Tensor:
    """V_0 - V_1 of two categories."""
    rows = distinct(log_p)
    return rows[..., 0] - rows[..., 1] + noise.squeeze(-1)


def _sample(log_p: Tensor, noise: Tensor) -> Tensor:
    """D, the first of equal categories; category 0 where ``log_p`` is NaN."""
    if log_p.shape[-1] == 2:
        return chosen_of_two(~(_ahead(log_p, noise) < 0), log_p.dtype)
    return one_hot((log_p + noise).argmax(-1), log_p.shape[-1], log_p.dtype)


def _straight_through(
    logits: Tensor, z: Tensor, log_p: Tensor, noise: Tensor, temperature: float | Tensor
) -> Tensor:
    """``z`` in value, with the gradient of the relaxed sample."""
    tau = lane_tensor("temperature", temperature, log_p)
    return attach(logits, z, _pair_rule if log_p.shape[-1] == 2 else _relaxed_rule, log_p, noise, tau)


def _pair_rule(g: Tensor, z: Tensor, log_p: Tensor, noise: Tensor, tau: Tensor) -> Tensor:
    """y_0 y_1 / tau (g_0 - g_1) (e_0 - e_1), from the odds of the smaller y, which keep their digits."""
    rate = tau.squeeze(-1).reciprocal()
    odds = stored(exp(-_ahead(log_p, noise).abs() * rate))
    return opposite(odds / (1 + odds).square() * rate * (g[..., 0] - g[..., 1]))
