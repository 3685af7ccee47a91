"""Straight-through.

    D ~ Categorical(pi),   gradient = (1/tau) J(pi_tau) g,   pi_tau = softmax(theta / tau)

Properties: biased; at tau = 1 its mean is the first-order (forward Euler) approximation of the exact
gradient, exact when f is affine in the one-hot vector. Needs the gradient g of f at D. Temperatures from 1 to
2 are usual.
Cost: one evaluation of f.
Source: Bengio, Leonard, Courville, "Estimating or Propagating Gradients Through Stochastic Neurons for
Conditional Computation", 2013; temperature as in Chung, Ahn, Bengio, "Hierarchical Multiscale Recurrent
Neural Networks", 2017.
"""

from __future__ import annotations

from torch import Tensor

from estimators._checks import check_parameters, lane_tensor
from estimators._ops import distinct, draw, log_probabilities, probabilities, tempered
from estimators._types import Noise
from estimators.path._drop_in import drop_in
from estimators.path._surrogate import attach, jacobian_rule
from estimators.path._two_categories import weighted_difference


@drop_in
def st(logits: Tensor, *, temperature: float | Tensor = 1.0, generator: Noise = None) -> Tensor:
    """Draw one-hot samples whose gradient is that of a tempered softmax.

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
    check_parameters("st", temperature=temperature)
    log_p = log_probabilities(logits)
    tau = lane_tensor("temperature", temperature, log_p)
    z = draw(probabilities(log_p), generator)
    return attach(logits, z, _pair_rule if logits.shape[-1] == 2 else jacobian_rule, log_p, tau)


def _pair_rule(g: Tensor, z: Tensor, log_p: Tensor, tau: Tensor) -> Tensor:
    q_0, q_1 = tempered(distinct(log_p), tau).unbind(-1)
    return weighted_difference(g, z, q_0 * q_1 / tau.squeeze(-1))
