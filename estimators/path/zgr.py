"""Zero-temperature Gumbel-Rao.

    gradient_k = (1/2) [D_k (g_i - <pi, g>) + pi_k (g_k - g_i)],   i the sampled category

the limit of ``gumbel_rao`` with all its draws as tau goes to 0, and the vector of ``reinmax`` at tau = 1.

Properties: biased; its mean is second-order accurate, exact when f is at most quadratic in the one-hot
vector. Needs the gradient g of f at D. No temperature.
Cost: one evaluation of f.
Source: Shekhovtsov, "Cold Analysis of Rao-Blackwellized Straight-Through Gumbel-Softmax Gradient Estimator",
2023.
"""

from __future__ import annotations

from torch import Tensor

from estimators._ops import draw, log_probabilities, probabilities
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._surrogate import attach


@drop_in
def zgr(logits: Tensor, *, generator: Noise = None) -> Tensor:
    """Draw one-hot samples whose gradient is second-order accurate, without a temperature.

    Args:
        logits: ``(..., n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        generator: source of noise, one uniform number per variable.

    Returns:
        z of the shape and dtype of ``logits``, exactly one-hot.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: a variable with all categories masked (eager mode on the CPU).
    """
    log_p = log_probabilities(logits)
    return attach(logits, draw(probabilities(log_p), generator), second_order, log_p)


def second_order(g: Tensor, z: Tensor, log_p: Tensor) -> Tensor:
    """The gradient above."""
    p = probabilities(log_p)
    from_sample = g - (z * g).sum(-1, keepdim=True)
    return (p * from_sample - z * (p * from_sample).sum(-1, keepdim=True)) / 2
