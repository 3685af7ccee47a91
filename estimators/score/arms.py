"""ARMS: K mutually antithetic samples of binary variables, by a Dirichlet copula.

    u_k = (1 - d_k)^(K - 1),   d ~ Dirichlet(1, ..., 1) for every variable
    b_k = 1[u_k < p] for p < 1/2,   b_k = 1[1 - u_k < p] otherwise
    gradient = (1/(K-1)) sum_k (f_k - fbar) (b_k - p) p (1 - p) / (p - P(b_1 = b_2 = 1))

The u_k are uniform and negatively dependent. With r = min(p, 1 - p) the last factor is (1 - r) / (1 - J/r),
where J/r = max(0, 2 - r^(-1/(K-1)))^(K-1) is at most 1/2: nothing cancels, however small r is, and nothing
has to be added to the denominator.

Properties: unbiased; no gradient of f; binary variables. For K = 2 it is `disarm` in distribution.
Cost: K evaluations of f.
Source: Dimitriev, Zhou, "ARMS: Antithetic-REINFORCE-Multi-Sample Gradient for Binary Variables", 2021.
Shapes: ``...`` lanes and batch, V variables, K samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._binary import check_binary, one_hot_bits, pair_gradient
from estimators._checks import check_parameters
from estimators._noise import exponential
from estimators._score import evaluate, make_estimate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective


def arms(logits: Tensor, objective: Objective, *, num_samples: int = 4, generator: Noise = None) -> Estimate:
    """Estimate the gradient of E[f(D)] from samples any two of which are antithetic.

    Args:
        logits: ``(..., V, 2)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, 2)`` to values ``(K, ...)``.
        num_samples: K >= 2.
        generator: source of noise, K uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: not two categories; ``num_samples`` below 2; values of a wrong shape; a variable with all
            categories masked (eager mode on the CPU).
    """
    check_binary("arms", logits, alternatives="`disarm_tree` or `rloo`")
    check_parameters("arms", num_samples=num_samples)
    log_p = variable_log_probabilities(logits)
    samples = one_hot_bits(_antithetic_bits(log_p, num_samples, generator), log_p)
    values = evaluate(objective, samples, logits)
    f = values.detach().to(log_p.dtype)
    covariance = ((f - f.mean(0))[..., None] * (samples[..., 1] - log_p[..., 1].exp())).sum(0)
    h = covariance * decorrelation(log_p.amin(-1), num_samples) / (num_samples - 1)
    return make_estimate(logits, pair_gradient(h), samples=samples, values=values, evaluations=num_samples)


def _antithetic_bits(log_p: Tensor, num_samples: int, generator: Noise) -> Tensor:
    """Bits ``(K, ..., V)``. The less likely outcome is drawn where u_k < r, that is d_k > 1 - r^(1/(K-1)).

    In float64: with many samples both sides are close to 0, and float32 has ties.
    """
    shape = (*log_p.shape[:-1], num_samples)
    e = exponential(shape, generator, dtype=torch.float64, device=log_p.device).movedim(-1, 0)
    rare = e > e.sum(0) * -(log_p.amin(-1).double() / (num_samples - 1)).expm1()
    return rare ^ (log_p[..., 1] >= log_p[..., 0])


def decorrelation(log_r: Tensor, num_samples: int) -> Tensor:
    """(1 - r) / (1 - J(r)/r) from log r, r <= 1/2."""
    pairs = num_samples - 1
    excess = (-log_r / pairs).expm1().clamp_max(1.0)  # r^(-1/(K-1)) - 1; from 1 on, J is zero
    return -log_r.expm1() / (1 - ((-excess).log1p() * pairs).exp())
