"""ARSM, augment-REINFORCE-swap-merge, for categorical variables.

    d ~ Dirichlet(1, ..., 1),   z = argmin_k (log d_k - theta_k),   for every variable
    gradient_c = sum_j (f_cj - (1/n) sum_m f_mj) (1/n - d_j)

where f_cj is f at the categories that result when d_c and d_j change places, in all variables at once.

A masked category takes no part: n counts the possible categories of the variable, and an exchange with a
masked one leaves the variable as it is. Every exchange keeps the distribution of d, in each variable on its
own, so the estimate stays unbiased when masks differ between variables.

Properties: unbiased; no gradient of f. For n = 2 it is `arm`.
Cost: n (n - 1) / 2 + 1 evaluations of f.
Source: Yin, Yue, Zhou, "ARSM: Augment-REINFORCE-Swap-Merge Estimator for Gradient Backpropagation Through
Categorical Variables", 2019.
Shapes: ``...`` lanes and batch, V variables, n categories, Q = n (n - 1) / 2 exchanges.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._noise import exponential
from estimators._ops import one_hot
from estimators._score import evaluate, make_estimate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective

MAX_EVALUATIONS = 16_384


def arsm(logits: Tensor, objective: Objective, *, generator: Noise = None) -> Estimate:
    """Estimate the gradient of E[f(D)] from one draw and all exchanges of two categories.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(Q + 1, ..., V, n)`` to values ``(Q + 1, ...)``.
        generator: source of noise, n uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: more than 16384 evaluations (n above 181); values of a wrong shape; a variable with all
            categories masked (eager mode on the CPU).
    """
    log_p = variable_log_probabilities(logits)
    n = log_p.shape[-1]
    first, second = _exchanges(n, log_p.device)
    possible = ~log_p.isneginf()
    e = exponential(log_p.shape, generator, dtype=log_p.dtype, device=log_p.device)
    exponentials = torch.where(possible, e, 0.0)
    samples = _exchanged(exponentials, log_p, possible, first, second)
    values = evaluate(objective, samples, logits)
    f = values.detach().to(log_p.dtype)
    table = f.new_empty((n, n, *f.shape[1:]))
    table[first, second], table[second, first] = f, f
    table[range(n), range(n)] = f[0]
    gradient = _merged(table.movedim((0, 1), (-2, -1)), exponentials, possible)
    gradient = torch.where(possible, gradient + 0 * log_p, 0.0)  # NaN for NaN logits
    return make_estimate(logits, gradient, samples=samples, values=values, evaluations=len(first))


def _exchanges(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pairs c <= j, ``(Q + 1,)`` each; the first, (0, 0), exchanges nothing."""
    evaluations = n * (n - 1) // 2 + 1
    if evaluations > MAX_EVALUATIONS:
        raise ValueError(
            f"arsm on {n} categories needs {evaluations} evaluations of the objective, at most "
            f"{MAX_EVALUATIONS} are allowed; use `disarm_tree` or `rloo`"
        )
    pairs = torch.triu_indices(n, n, offset=1, device=device)
    first, second = torch.cat([pairs.new_zeros(2, 1), pairs], -1)
    return first, second


def _exchanged(
    exponentials: Tensor, log_p: Tensor, possible: Tensor, first: Tensor, second: Tensor
) -> Tensor:
    """One-hot categories after every exchange, ``(Q + 1, ..., V, n)``."""
    n = log_p.shape[-1]
    order = torch.arange(n, device=log_p.device).repeat(len(first), 1)
    order.scatter_(1, first.unsqueeze(1), second.unsqueeze(1))
    order.scatter_(1, second.unsqueeze(1), first.unsqueeze(1))
    both = (possible[..., first] & possible[..., second]).unsqueeze(-1)
    shuffled = torch.where(both, exponentials[..., order], exponentials.unsqueeze(-2))
    keys = torch.where(possible, shuffled.log().movedim(-2, 0) - log_p, torch.inf)
    return one_hot(keys.argmin(-1), n, log_p.dtype)


def _merged(f: Tensor, exponentials: Tensor, possible: Tensor) -> Tensor:
    """The gradient ``(..., V, n)`` from f_cj ``(..., n, n)``; exchanges with a masked category count as none.

    Where j is masked the weight is 0; rows of a masked c mean nothing.
    """
    f = f.unsqueeze(-3)
    count = possible.sum(-1, keepdim=True).to(f.dtype)
    mean = torch.where(possible.unsqueeze(-1), f, 0.0).sum(-2) / count
    d = exponentials / exponentials.sum(-1, keepdim=True)
    weights = torch.where(possible, 1 / count - d, 0.0)
    return ((f - mean.unsqueeze(-2)) * weights.unsqueeze(-2)).sum(-1)
