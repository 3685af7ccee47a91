"""REBAR: f itself, at relaxed samples, as control variate.

    c(x) = eta f(x),   x = softmax((log pi + G) / tau),   x~ the same given D
    gradient = [f(D) - c(x~)] (D - pi) + d c(x)/d theta - d c(x~)/d theta,   averaged over K samples

tau and eta are trained on the squared estimate, in every lane on its own.

Properties: unbiased for every tau and eta; needs f and its gradient at relaxed points, and second derivatives
for the training; state per lane.
Cost: 3 K evaluations of f.
Source: Tucker, Mnih, Maddison, Lawson, Sohl-Dickstein, "REBAR: Low-variance, unbiased gradient estimates for
discrete latent variable models", 2017.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples, L lanes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_parameters
from estimators._learned import State, is_trained, leaves, minimise_squares, over_rows, per_lane, trainable
from estimators._relaxed import controlled_gradient, draw_relaxed
from estimators._score import evaluate, make_estimate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective
from estimators._within import differentiates_within

PARAMETERS = ("log_temperature", "eta")


@differentiates_within
def rebar(
    logits: Tensor,
    objective: Objective,
    *,
    num_samples: int = 1,
    temperature: float | Tensor = 0.5,
    eta: float | Tensor = 1.0,
    learning_rate: float | Tensor = 1e-3,
    state: State | None = None,
    generator: Noise = None,
) -> Estimate:
    """Estimate the gradient of E[f(D)] as that of a relaxation and a score-function correction.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``, differentiable (twice, when it
            is tuned) and defined inside the simplex.
        num_samples: K >= 1; each takes one discrete and two relaxed evaluations.
        temperature: where tau > 0 starts, a number or one per lane; a ``state`` overrides it.
        eta: where the scale of the control variate starts, likewise.
        learning_rate: of Adam on log tau and eta, a number or one per lane; the number 0 keeps them fixed,
            and needs no second derivatives.
        state: the state that the last call returned; ``None`` at the first.
        generator: source of noise, 2 K n uniform numbers per variable.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 1; values of a wrong shape, or not differentiable; a variable with
            all categories masked (eager mode on the CPU).
    """
    check_parameters(
        "rebar", num_samples=num_samples, temperature=temperature, eta=eta, learning_rate=learning_rate
    )
    working = variable_log_probabilities(logits).dtype
    state = initial_state(logits, temperature=temperature, eta=eta) if state is None else state
    parameters, tune = leaves(state, PARAMETERS), is_trained(learning_rate)
    with torch.enable_grad():
        tau = over_rows(parameters["log_temperature"].exp(), logits)[..., None, None]
        draws = draw_relaxed(logits, tau, num_samples, generator)
        values = evaluate(objective, draws.samples, logits)
        controls = over_rows(parameters["eta"], logits) * evaluate(objective, draws.relaxed, logits).to(
            working
        )
        gradient = controlled_gradient(draws, values.detach().to(working), controls, tune=tune)
        updated = minimise_squares(state, parameters, gradient, learning_rate) if tune else state
    return make_estimate(
        logits, gradient, samples=draws.samples, values=values, evaluations=3 * num_samples, state=updated
    )


def initial_state(
    logits: Tensor, *, temperature: float | Tensor = 0.5, eta: float | Tensor = 1.0
) -> dict[str, Tensor]:
    """``log_temperature`` and ``eta`` ``(L,)`` with their optimizer, from numbers or one number per lane."""
    parameters = {"log_temperature": per_lane(temperature, logits).log(), "eta": per_lane(eta, logits)}
    return trainable(parameters, logits)
