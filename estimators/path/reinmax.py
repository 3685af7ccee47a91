"""ReinMax.

    D ~ Categorical(pi),   gradient = 2 J(m) g - (1/2) J(pi) g,   m = (pi_tau + D) / 2

The first Jacobian carries no 1/tau and the second takes the untempered pi. At tau = 1 this is
(1/2) [D_k (g_i - <pi, g>) + pi_k (g_k - g_i)] with i the sampled category. For two categories both Jacobians
are p_0 p_1 (g_0 - g_1) (e_0 - e_1), and D decides which of two weights the difference gets.

Properties: biased; at tau = 1 its mean is the second-order (Heun) approximation of the exact gradient, exact
when f is at most quadratic in the one-hot vector. Needs the gradient g of f at D.
Cost: one evaluation of f.
Source: Liu, Dong, Liu, Yu, Gao, "Bridging Discrete and Backpropagation: Straight-Through and Beyond", 2023.
"""

from __future__ import annotations

from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._ops import (
    distinct,
    draw,
    jacobian_product,
    log_probabilities,
    probabilities,
    tempered,
)
from estimators._tracing import stored
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._surrogate import attach
from estimators.path._two_categories import outcome_difference


@drop_in
def reinmax(logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None) -> Tensor:
    """Draw one-hot samples whose gradient is second-order accurate.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        temperature: tau > 0, a number or a tensor that broadcasts against ``logits[..., :1]``. It enters the
            gradient only. From 1 to 2 is usual.
        generator: source of noise, one uniform number per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: temperature out of range; a variable with all categories masked (eager mode on the CPU).
    """
    check_parameters("reinmax", temperature=temperature)
    log_p = log_probabilities(logits)
    tau = lane_tensor("temperature", temperature, log_p)
    z = draw(probabilities(log_p), generator)
    return attach(logits, z, _pair_rule if logits.shape[-1] == 2 else _heun, log_p, tau)


def _pair_rule(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    weights = (stored(weight) for weight in _pair_weights(distinct(log_p), tau))
    return outcome_difference(g, z, *weights)


def _pair_weights(log_p: Tensor, tau: Tensor) -> tuple[Tensor, Tensor]:
    """2 m_0 m_1 - p_0 p_1 / 2 for both outcomes."""
    q_0, q_1 = tempered(log_p, tau).unbind(-1)
    p_0, p_1 = log_p.exp().unbind(-1)
    return ((1 + q_0) * q_1 - p_0 * p_1) / 2, ((1 + q_1) * q_0 - p_0 * p_1) / 2


def _heun(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    m = (tempered(log_p, tau) + z) / 2
    return 2 * jacobian_product(m, g) - jacobian_product(probabilities(log_p), g) / 2
