"""REINFORCE, the plain score-function estimator.

    gradient = (1/K) sum_k f(D_k) (D_k - pi),   D_k ~ Categorical(pi) independent

Properties: unbiased; no gradient of f. Its variance holds the square of any constant offset of f.
Cost: K evaluations of f.
Source: Williams, "Simple statistical gradient-following algorithms for connectionist reinforcement learning",
1992.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples.
"""

from __future__ import annotations

from torch import Tensor

from estimators._checks import check_parameters
from estimators._ops import draw_many, probabilities
from estimators._score import evaluate, make_estimate, score_gradient, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective


def reinforce(
    logits: Tensor, objective: Objective, *, num_samples: int = 1, generator: Noise = None
) -> Estimate:
    """Estimate the gradient of E[f(D)]; the one joint value of f multiplies every variable's score.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``.
        num_samples: K >= 1.
        generator: source of noise, K uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 1; values of a wrong shape; a variable with all categories masked
            (eager mode on the CPU).
    """
    check_parameters("reinforce", num_samples=num_samples)
    p = probabilities(variable_log_probabilities(logits))
    samples = draw_many(p, num_samples, generator)
    values = evaluate(objective, samples, logits)
    gradient = score_gradient(values.detach().to(p.dtype), samples, p)
    return make_estimate(logits, gradient, samples=samples, values=values, evaluations=num_samples)
