"""Gumbel-Rao: straight-through Gumbel-softmax, averaged over its noise given the sample.

    D ~ Categorical(pi),   gradient = (1 / (K tau)) sum_k J(y_k) g,   y_k ~ softmax(V / tau) given D

Properties: biased as ``stgs``, whose mean given D it has for every K; its variance given D is 1/K of that of
``stgs``. Needs the gradient g of f at D. The draws are made in the backward pass, block by block, and
multiplied with g at once: memory does not grow with K. For two categories the mean over all draws is an
integral over one variable; ``expectation="exact"`` takes it by Gauss-Legendre quadrature (K = infinity) at
the price of 17 draws, once for all copies that share their logits (``expand``).
Cost: one evaluation of f; K n random numbers per variable in the backward pass, K for two categories.
Source: Paulus, Maddison, Krause, "Rao-Blackwellizing the Straight-Through Gumbel-Softmax Gradient Estimator",
2021.
"""

from __future__ import annotations

import functools

from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._ops import draw, log_probabilities, probabilities
from estimators._streams import draw_keys
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._posterior import mean_jacobian_product
from estimators.path._surrogate import attach, first_derivative_only
from estimators.path._two_categories import expected_pair_weight, pair_product


@drop_in
def gumbel_rao(
    logits: Tensor,
    *,
    temperature: float | Tensor = 1.0,
    num_draws: int = 100,
    expectation: str = "draws",
    generator: Noise = None,
) -> Tensor:
    """Draw one-hot samples with the mean gradient of K relaxed samples that agree with them.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only.
        num_draws: K >= 1.
        expectation: ``"draws"``, or ``"exact"`` for K = infinity, which needs n = 2 and takes no draws.
        generator: source of noise, one uniform number per variable for the sample and one for a key that the
            draws of the backward pass are made from. Backward passes over one graph see the same draws.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature or ``num_draws`` out of range; an unknown ``expectation``, or the exact one of
            n != 2 categories; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("gumbel_rao", temperature=temperature, num_draws=num_draws, expectation=expectation)
    log_p = log_probabilities(logits)
    tau = lane_tensor("temperature", temperature, log_p)
    _check_expectation(expectation, log_p)
    z = draw(probabilities(log_p), generator)
    if expectation == "exact":
        return attach(logits, z, first_derivative_only(_exact_gradient), log_p, tau)
    key = draw_keys(log_p.shape[:-1], generator, device=log_p.device)
    rule = first_derivative_only(functools.partial(_gradient, num_draws))
    return attach(logits, z, rule, log_p, tau, key)


def _check_expectation(expectation: str, log_p: Tensor) -> None:
    if expectation == "exact" and log_p.shape[-1] != 2:
        raise ValueError(
            f"the exact expectation is known for 2 categories, these variables have {log_p.shape[-1]}; use "
            "expectation='draws', or `zgr` for the exact limit of temperature 0"
        )


def _gradient(num_draws: int, g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor, key: Tensor) -> Tensor:
    return mean_jacobian_product(log_p, z, g, tau, key, range(num_draws)) / tau


def _exact_gradient(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    return pair_product(expected_pair_weight(log_p, z, tau), z, g)
