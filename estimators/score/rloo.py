"""Leave-one-out REINFORCE.

    gradient = (1/K) sum_k (f_k - mean_{j != k} f_j) (D_k - pi),   f_k = f(D_k)

with D_k ~ Categorical(pi) independent.

This is the sample covariance of f and the score, (1/(K-1)) sum_k (f_k - fbar) (D_k - pi), so a constant added
to f changes nothing.

Properties: unbiased, since the baseline of a sample does not see it; no gradient of f. Also known as VarGrad.
Cost: K evaluations of f.
Source: Kool, van Hoof, Welling, "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019; Salimans, Knowles,
"On Using Control Variates with Stochastic Approximation for Variational Bayes", 2014.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

from torch import Tensor

from estimators._checks import check_parameters
from estimators._ops import draw_many
from estimators._score import (
    evaluate,
    leave_one_out,
    make_estimate,
    score_gradient,
    variable_log_probabilities,
)
from estimators._types import Estimate, Noise, Objective


def rloo(logits: Tensor, objective: Objective, *, num_samples: int = 4, generator: Noise = None) -> Estimate:
    """Estimate the gradient of E[f(D)] with the other samples' mean as baseline.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``.
        num_samples: K >= 2.
        generator: source of noise, K uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 2; values of a wrong shape; a variable with all categories masked
            (eager mode on the CPU).
    """
    check_parameters("rloo", num_samples=num_samples)
    p = variable_log_probabilities(logits).exp()
    samples = draw_many(p, num_samples, generator)
    values = evaluate(objective, samples, logits)
    f = values.detach().to(p.dtype)
    gradient = score_gradient(f - leave_one_out(f), samples, p)
    return make_estimate(logits, gradient, samples=samples, values=values, evaluations=num_samples)
