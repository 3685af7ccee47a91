"""DisARM, also known as U2G: antithetic pairs for binary variables.

    b = 1[1 - u < p],   b' = 1[u < p],   u ~ U(0, 1) for every variable
    gradient = (1/2) (f(b) - f(b')) (b - b') sigmoid(|eta|),   averaged over K/2 independent pairs

with eta = theta_1 - theta_0 and p = sigmoid(eta). It is the mean of ARM over u given both outcomes, and so
never has the larger variance. sigmoid(|eta|) = max(p, 1 - p).

Properties: unbiased; no gradient of f; binary variables.
Cost: K evaluations of f.
Source: Dong, Mnih, Tucker, "DisARM: An Antithetic Gradient Estimator for Binary Latent Variables", 2020; Yin,
Ho, Yan, Qian, Zhou, "Probabilistic Best Subset Selection via Gradient-Based Optimization", 2020.
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


def disarm(
    logits: Tensor, objective: Objective, *, num_samples: int = 2, generator: Noise = None
) -> Estimate:
    """Estimate the gradient of E[f(D)] from antithetic pairs of samples.

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
    check_binary("disarm", logits, alternatives="`disarm_tree` or `rloo`")
    check_parameters("disarm", num_samples=num_samples)
    p = variable_log_probabilities(logits).exp()
    shape = (*p.shape[:-1], num_samples // 2)
    u = uniform(shape, generator, dtype=torch.float64, device=p.device).movedim(-1, 0)
    off, on = in_float64(p[..., 0], p[..., 1]), in_float64(p[..., 1], p[..., 0])
    samples = one_hot_bits(antithetic_bits(off, on, u, u), p)
    values = evaluate(objective, samples, logits)
    on, on_prime = samples[..., 1].chunk(2)
    h = half_difference(values.detach().to(p.dtype))[..., None] * (on - on_prime) * p.amax(-1)
    return make_estimate(
        logits, pair_gradient(h.mean(0)), samples=samples, values=values, evaluations=num_samples
    )
