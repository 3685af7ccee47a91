"""RELAX: a learned function of relaxed samples as control variate.

    c(x) a network,   x = softmax((log pi + G) / tau),   x~ the same given D
    gradient = [f(D) - c(x~)] (D - pi) + d c(x)/d theta - d c(x~)/d theta,   averaged over K samples

The network, one hidden layer of tanh units, and tau are trained on the squared estimate, in every lane on its
own. The network returns 0 at first, which makes the first estimate that of `reinforce`.

Properties: unbiased for every c and tau; no gradient of f; state per lane.
Cost: K evaluations of f.
Source: Grathwohl, Choi, Wu, Roeder, Duvenaud, "Backpropagation through the Void: Optimizing control variates
for black-box gradient estimation", 2018.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples, L lanes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_parameters
from estimators._learned import (
    NETWORK,
    State,
    initial_network,
    is_trained,
    leaves,
    minimise_squares,
    network,
    over_rows,
    per_lane,
    trainable,
)
from estimators._relaxed import controlled_gradient, draw_relaxed
from estimators._score import evaluate, make_estimate, variable_log_probabilities
from estimators._types import Estimate, Noise, Objective
from estimators._within import differentiates_within

PARAMETERS = ("log_temperature", *NETWORK)


@differentiates_within
def relax(
    logits: Tensor,
    objective: Objective,
    *,
    num_samples: int = 1,
    temperature: float | Tensor = 0.5,
    learning_rate: float | Tensor = 1e-3,
    hidden_units: int = 32,
    state: State | None = None,
    generator: Noise = None,
) -> Estimate:
    """Estimate the gradient of E[f(D)] with a control variate that is learned; f may be a black box.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``.
        num_samples: K >= 1.
        temperature: where tau > 0 starts, a number or one per lane; a ``state`` overrides it.
        learning_rate: of Adam on log tau and the network, a number or one per lane; the number 0 keeps them
            fixed.
        hidden_units: width of the network when it is made, at the first call.
        state: the state that the last call returned; ``None`` at the first.
        generator: source of noise, 2 K n uniform numbers per variable; at the first call, before them, those
            of the network.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 1; values of a wrong shape; a variable with all categories masked
            (eager mode on the CPU).
    """
    check_parameters(
        "relax",
        num_samples=num_samples,
        temperature=temperature,
        learning_rate=learning_rate,
        hidden_units=hidden_units,
    )
    working = variable_log_probabilities(logits).dtype
    if state is None:
        state = initial_state(logits, temperature=temperature, hidden_units=hidden_units, generator=generator)
    parameters, tune = leaves(state, PARAMETERS), is_trained(learning_rate)
    with torch.enable_grad():
        tau = over_rows(parameters["log_temperature"].exp(), logits)[..., None, None]
        draws = draw_relaxed(logits, tau, num_samples, generator)
        values = evaluate(objective, draws.samples, logits)
        controls = network(parameters, draws.relaxed.flatten(-2), logits).squeeze(-1)
        gradient = controlled_gradient(draws, values.detach().to(working), controls, tune=tune)
        updated = minimise_squares(state, parameters, gradient, learning_rate) if tune else state
    return make_estimate(
        logits, gradient, samples=draws.samples, values=values, evaluations=num_samples, state=updated
    )


def initial_state(
    logits: Tensor,
    *,
    temperature: float | Tensor = 0.5,
    hidden_units: int = 32,
    generator: Noise = None,
) -> dict[str, Tensor]:
    """``log_temperature`` ``(L,)`` and the network, with their optimizer.

    Args:
        logits: ``(..., V, n)``; only shape, dtype and device matter.
        temperature: a number or one per lane.
        hidden_units: width of the network.
        generator: source of noise for the hidden weights.
    """
    inputs = logits.shape[-2:].numel()
    weights = initial_network(
        logits, inputs=inputs, hidden_units=hidden_units, outputs=1, generator=generator
    )
    return trainable({"log_temperature": per_lane(temperature, logits).log(), **weights}, logits)
