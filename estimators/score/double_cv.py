"""Double control variates: leave-one-out REINFORCE on f plus a linear control variate.

    a_k = alpha <g_-k, D_k - pi>,   g_-k = mean_{j != k} f'(D_j)
    gradient = (1/K) sum_k [f_k + a_k - mean_{j != k} (f_j + a_j)] (D_k - pi) - alpha J(pi) mean_k f'(D_k)

For affine f the estimate is exact at alpha = -1, where alpha is started; alpha = 0 is `rloo`. It is trained
on the squared estimate, one alpha per lane.

Properties: unbiased for every alpha; needs the gradient f' of f at the samples; binary variables; state per
lane.
Cost: K evaluations of f, with gradients.
Source: Titsias, Shi, "Double Control Variates for Gradient Estimation in Discrete Latent Variable Models",
2022.
Shapes: ``...`` lanes and batch, V variables, K samples, L lanes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._binary import check_binary
from estimators._checks import check_parameters
from estimators._learned import State, is_trained, leaves, minimise_squares, over_rows, per_lane, trainable
from estimators._ops import draw_many, jacobian_product
from estimators._score import (
    leave_one_out,
    make_estimate,
    score_gradient,
    values_and_gradients,
    variable_log_probabilities,
)
from estimators._types import Estimate, Noise, Objective
from estimators._within import differentiates_within


@differentiates_within
def double_cv(
    logits: Tensor,
    objective: Objective,
    *,
    num_samples: int = 2,
    alpha: float | Tensor = -1.0,
    learning_rate: float | Tensor = 1e-3,
    state: State | None = None,
    generator: Noise = None,
) -> Estimate:
    """Estimate the gradient of E[f(D)] with gradients at the other samples as control variate.

    Args:
        logits: ``(..., V, 2)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, 2)`` to values ``(K, ...)``, differentiable in the samples.
        num_samples: K >= 2.
        alpha: where alpha starts, a number or one per lane; a ``state`` overrides it.
        learning_rate: of Adam on alpha, a number or one per lane; 0 keeps alpha fixed.
        state: the state that the last call returned; ``None`` at the first.
        generator: source of noise, K uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: not two categories; ``num_samples`` below 2; values of a wrong shape, or not
            differentiable; a variable with all categories masked (eager mode on the CPU).
    """
    check_binary("double_cv", logits, alternatives="`rebar`, `muprop` or `rloo`")
    check_parameters("double_cv", num_samples=num_samples, alpha=alpha, learning_rate=learning_rate)
    p = variable_log_probabilities(logits).exp()
    state = initial_state(logits, alpha=alpha) if state is None else state
    samples = draw_many(p, num_samples, generator)
    values, slopes = values_and_gradients(objective, samples, logits)
    slopes = torch.where(p > 0, slopes, 0.0)
    parameters = leaves(state, ("alpha",))
    with torch.enable_grad():
        scale = over_rows(parameters["alpha"], logits)
        gradient = _gradient(values.detach().to(p.dtype), slopes, samples, p, scale)
        tuned = is_trained(learning_rate)
        updated = minimise_squares(state, parameters, gradient, learning_rate) if tuned else state
    return make_estimate(
        logits, gradient, samples=samples, values=values, evaluations=num_samples, state=updated
    )


def initial_state(logits: Tensor, *, alpha: float | Tensor = -1.0) -> dict[str, Tensor]:
    """``alpha`` ``(L,)`` with its optimizer."""
    return trainable({"alpha": per_lane(alpha, logits)}, logits)


def _gradient(f: Tensor, slopes: Tensor, samples: Tensor, p: Tensor, alpha: Tensor) -> Tensor:
    """The estimate as a function of alpha, which broadcasts against values ``(K, ...)``."""
    linear = (leave_one_out(slopes) * (samples - p)).sum((-1, -2))
    controlled = f + alpha * linear
    correction = alpha[..., None, None] * jacobian_product(p, slopes.mean(0))
    return score_gradient(controlled - leave_one_out(controlled), samples, p) - correction
