"""MuProp: a first-order Taylor expansion at the mean field as control variate.

    gradient = (1/K) sum_k [f(D_k) - f(pi) - <f'(pi), D_k - pi>] (D_k - pi) + J(pi) f'(pi)

Properties: unbiased; needs f and its gradient f' at the mean field pi, a relaxed point. Exact, without
variance, when f is affine.
Cost: K + 1 evaluations of f.
Source: Gu, Levine, Sutskever, Mnih, "MuProp: Unbiased Backpropagation for Stochastic Neural Networks", 2016.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_parameters
from estimators._ops import draw_many, jacobian_product
from estimators._score import (
    evaluate,
    make_estimate,
    score_gradient,
    values_and_gradients,
    variable_log_probabilities,
)
from estimators._types import Estimate, Noise, Objective
from estimators._within import differentiates_within


@differentiates_within
def muprop(
    logits: Tensor, objective: Objective, *, num_samples: int = 1, generator: Noise = None
) -> Estimate:
    """Estimate the gradient of E[f(D)] as that of a linear model of f and a score-function correction.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``, differentiable and defined
            inside the simplex.
        num_samples: K >= 1 samples, besides the one evaluation at the mean field.
        generator: source of noise, K uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 1; values of a wrong shape, or not differentiable; a variable with
            all categories masked (eager mode on the CPU).
    """
    check_parameters("muprop", num_samples=num_samples)
    p = variable_log_probabilities(logits).exp()
    samples = draw_many(p, num_samples, generator)
    values = evaluate(objective, samples, logits)
    f_mean, slope = values_and_gradients(objective, p.unsqueeze(0), logits)
    slope = torch.where(p > 0, slope.squeeze(0), 0.0)
    linear = f_mean.detach().to(p.dtype) + (slope * (samples - p)).sum((-1, -2))
    gradient = score_gradient(values.detach().to(p.dtype) - linear, samples, p) + jacobian_product(p, slope)
    return make_estimate(logits, gradient, samples=samples, values=values, evaluations=num_samples + 1)
