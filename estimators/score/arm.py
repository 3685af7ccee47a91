"""ARM, augment-REINFORCE-merge, for binary variables.

    b = 1[1 - u < p],   b' = 1[u < p],   u ~ U(0, 1) for every variable
    gradient = (f(b) - f(b')) (u - 1/2),   averaged over K/2 independent pairs

with p = sigmoid(theta_1 - theta_0).

Properties: unbiased; no gradient of f; binary variables. `disarm` is its mean given the outcomes and never
worse.
Cost: K evaluations of f.
Source: Yin, Zhou, "ARM: Augment-REINFORCE-Merge Gradient for Stochastic Binary Networks", 2019.
Shapes: ``...`` lanes and batch, V variables, K samples, in pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._binary import (
    antithetic_bits,
    check_binary,
    half_difference,
    in_float64,
    one_hot_bits,
    pair_gradient,
)
from estimators._checks import check_parameters
from estimators._noise import uniform
from estimators._score import evaluate, make_estimate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective


def arm(logits: Tensor, objective: Objective, *, num_samples: int = 2, generator: Noise = None) -> Estimate:
    """Estimate the gradient of E[f(D)] from antithetic pairs, weighted by their noise.

    Args:
        logits: ``(..., V, 2)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, 2)`` to values ``(K, ...)``.
        num_samples: K, an even number. Samples k and k + K/2 are a pair.
        generator: source of noise, K/2 uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: not two categories; ``num_samples`` odd or below 2; values of a wrong shape; a variable
            with all categories masked (eager mode on the CPU).
    """
    check_binary("arm", logits, alternatives="`arsm` or `rloo`")
    check_parameters("arm", num_samples=num_samples)
    p = variable_log_probabilities(logits).exp()
    shape = (*p.shape[:-1], num_samples // 2)
    u = uniform(shape, generator, dtype=torch.float64, device=p.device).movedim(-1, 0)
    off, on = in_float64(p[..., 0], p[..., 1]), in_float64(p[..., 1], p[..., 0])
    samples = one_hot_bits(antithetic_bits(off, on, u, u), p)
    values = evaluate(objective, samples, logits)
    # The last factor is 1, but 0 for a variable that cannot change, of which the others' differences say
    # nothing, and NaN for NaN.
    h = (
        2
        * half_difference(values.detach().to(p.dtype))[..., None]
        * (u - 0.5).to(p.dtype)
        * p.amin(-1).ceil()
    )
    return make_estimate(
        logits, pair_gradient(h.mean(0)), samples=samples, values=values, evaluations=num_samples
    )
