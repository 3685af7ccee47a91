"""NVIL: REINFORCE with a learned, input-dependent baseline.

    l_k = f(D_k) - C(pi) - c
    gradient = (1/K) sum_k l_k (D_k - pi)                             (divided by max(1, sqrt(v)) on request)

C is a network with one hidden layer of tanh units, trained on the mean of l^2; c and v are moving averages of
the mean and the variance of f - C. All are used as they were before the call, and updated after it. What an
estimator sees of the input are the logits, so the network reads pi, the input's encoding.

The published variance normalisation shrinks the step, not its direction: the mean becomes the exact gradient
divided by max(1, sqrt(v)), a biased estimate. It is off by default.

Properties: unbiased (without normalisation); no gradient of f; state per lane.
Cost: K evaluations of f.
Source: Mnih, Gregor, "Neural Variational Inference and Learning in Belief Networks", 2014.
Shapes: ``...`` lanes and batch, V variables, n categories, K samples, L lanes, R rows of a lane.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._checks import check_parameters
from estimators._learned import (
    NETWORK,
    State,
    initial_network,
    lane_rows,
    leaves,
    minimise,
    moving_average,
    network,
    over_rows,
    per_lane,
    trainable,
)
from estimators._ops import draw_many
from estimators._score import (
    evaluate,
    make_estimate,
    score_gradient,
    variable_log_probabilities,
)
from estimators._types import Estimate, Noise, Objective
from estimators._within import differentiates_within


@differentiates_within
def nvil(
    logits: Tensor,
    objective: Objective,
    *,
    num_samples: int = 1,
    decay: float | Tensor = 0.8,
    learning_rate: float | Tensor = 1e-3,
    hidden_units: int = 100,
    normalisation: str = "off",
    state: State | None = None,
    generator: Noise = None,
) -> Estimate:
    """Estimate the gradient of E[f(D)] with a baseline that is learned from past values.

    Args:
        logits: ``(..., V, n)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, n)`` to values ``(K, ...)``.
        num_samples: K >= 1.
        decay: weight of the past in c and v, 0 <= decay < 1, a number or one per lane.
        learning_rate: of Adam on the network, a number or one per lane.
        hidden_units: width of the network when it is made, at the first call.
        normalisation: ``off``, or ``on`` to divide by max(1, sqrt(v)).
        state: the state that the last call returned; ``None`` at the first.
        generator: source of noise, K uniform numbers per variable; at the first call, before them, those of
            the network.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: ``num_samples`` below 1; another ``normalisation``; values of a wrong shape; a variable
            with all categories masked (eager mode on the CPU).
    """
    check_parameters(
        "nvil",
        num_samples=num_samples,
        decay=decay,
        learning_rate=learning_rate,
        hidden_units=hidden_units,
        normalisation=normalisation,
    )
    p = variable_log_probabilities(logits).exp()
    if state is None:
        state = initial_state(logits, hidden_units=hidden_units, generator=generator)
    samples = draw_many(p, num_samples, generator)
    values = evaluate(objective, samples, logits)
    parameters = leaves(state, NETWORK)
    with torch.enable_grad():
        residual = values.detach().to(p.dtype) - network(
            parameters, p.flatten(-2).unsqueeze(0), logits
        ).squeeze(-1)
        updated = _updated(state, parameters, residual, decay, learning_rate, logits)
    signal = residual.detach() - over_rows(state["baseline"], logits)
    if normalisation == "on":
        signal = signal / over_rows(state["variance"].sqrt().clamp_min(1.0), logits)
    gradient = score_gradient(signal, samples, p)
    return make_estimate(
        logits, gradient, samples=samples, values=values, evaluations=num_samples, state=updated
    )


def initial_state(logits: Tensor, *, hidden_units: int = 100, generator: Noise = None) -> dict[str, Tensor]:
    """The network with its optimizer, which returns 0 at first; ``baseline`` c and ``variance`` v, ``(L,)``
    each.

    Args:
        logits: ``(..., V, n)``; only shape, dtype and device matter.
        hidden_units: width of the network.
        generator: source of noise for the hidden weights.
    """
    inputs = logits.shape[-2:].numel()
    weights = initial_network(
        logits, inputs=inputs, hidden_units=hidden_units, outputs=1, generator=generator
    )
    state = trainable(weights, logits)
    return {
        **state,
        "baseline": torch.zeros_like(state["steps"]),
        "variance": torch.ones_like(state["steps"]),
    }


def _updated(
    state: State,
    parameters: State,
    residual: Tensor,
    decay: float | Tensor,
    learning_rate: float | Tensor,
    logits: Tensor,
) -> dict[str, Tensor]:
    """The state after this call's f - C ``(K, ...)``."""
    rows = lane_rows(residual, logits)
    loss = (rows - state["baseline"].unsqueeze(-1)).square().sum() / max(1, rows.shape[1])
    updated = minimise(state, parameters, loss, per_lane(learning_rate, logits))
    past, steps = per_lane(decay, logits), state["steps"]
    deviation = (rows.detach() - state["baseline"].unsqueeze(-1)).square()
    updated["baseline"] = moving_average(state["baseline"], rows.detach(), past, steps)
    updated["variance"] = moving_average(state["variance"], deviation, past, steps)
    return updated
