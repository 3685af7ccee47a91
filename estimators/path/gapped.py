"""Gapped straight-through.

    t_i = M,   t_j = min(theta_j, M - gap) for j != i,   gradient = (1/tau) J(softmax(t / tau)) g

for the sample D = e_i, with M = max theta; the shifts are constants for differentiation. ``gst`` takes a
fixed gap (0 keeps only the order), ``gst_p`` the expected lead of the largest perturbed logit,
gap = -log(1 - pi_i) / pi_i.

Properties: biased, even for affine f; deterministic given D, in place of the noise of ``gumbel_rao``. Needs
the gradient g of f at D. Temperatures up to 1 are usual. Where D leads every other logit by the gap already,
the gradient is that of ``st``.
Cost: one evaluation of f.
Source: Fan, Chi, Rudnicky, Ramadge, "Training Discrete Deep Generative Models via Gapped Straight-Through
Estimator", 2022.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._ops import at_sample, draw, jacobian_product, log_probabilities, probabilities, tempered
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._surrogate import attach


@drop_in
def gst(
    logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    gap: float | Tensor = 1.0,
    generator: Noise = None,
) -> Tensor:
    """Draw one-hot samples whose gradient is that of a softmax in which the sample leads by a gap.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only.
        gap: lead of the sample, at least 0, likewise.
        generator: source of noise, one uniform number per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature or gap out of range; a variable with all categories masked (eager mode on the
            CPU).
    """
    check_parameters("gst", temperature=temperature, gap=gap)
    log_p = log_probabilities(logits)
    tau, lead = lane_tensor("temperature", temperature, log_p), lane_tensor("gap", gap, log_p)
    return attach(logits, draw(probabilities(log_p), generator), _rule, log_p, tau, lead)


@drop_in
def gst_p(logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None) -> Tensor:
    """:func:`gst` with the gap that the sample has in expectation, -log(1 - pi_i) / pi_i.

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
    check_parameters("gst_p", temperature=temperature)
    log_p = log_probabilities(logits)
    tau = lane_tensor("temperature", temperature, log_p)
    return attach(logits, draw(probabilities(log_p), generator), _expected_rule, log_p, tau)


def _rule(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor, gap: Tensor) -> Tensor:
    return jacobian_product(tempered(_gapped(log_p, z, gap), tau), g) / tau


def _expected_rule(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    return _rule(g, z, log_p, tau, _expected_gap(log_p, z))


def _gapped(log_p: Tensor, z: Tensor, gap: Tensor) -> Tensor:
    """t - M. Masked categories stay at -inf."""
    behind = torch.minimum(log_p - log_p.amax(-1, keepdim=True), -gap)
    return behind.masked_fill(z.bool(), 0.0)


def _expected_gap(log_p: Tensor, z: Tensor) -> Tensor:
    """-log(1 - pi_i) / pi_i: 1 for rare samples, infinite for the only possible one."""
    p = at_sample(log_p, z).exp()
    others = log_p.masked_fill(z.bool(), -torch.inf).logsumexp(-1, keepdim=True)
    return -torch.where(p < 0.5, torch.log1p(-p), others) / p
