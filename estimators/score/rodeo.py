"""RODEO: control variates from a discrete Stein operator.

    (A h)(x) = (1/V) sum_v q(flip_v | x_-v) [h(flip_v x) - h(x)]        has mean zero for every h
    gradient = (1/K) sum_k { [f_k - mean_{j != k} (f_j + alpha (A h_j)(x_j))] s_k + beta (A [h'_k s])(x_k) }

with x the bits, s = x - p, and h_k, h'_k the two outputs of a network H, which sees the other samples only:

    h_k(x), h'_k(x) = H(mean_{j != k} <f'_j, x - x_j>,  mean_{j != k} f_j)

A flip changes the first input by one term, so all flips cost O(K V). alpha, beta and H, one hidden layer of
tanh units, are trained on the squared estimate, in every lane on its own.

Properties: unbiased for every alpha, beta and H; needs the gradient f' of f at the samples; binary variables;
state per lane.
Cost: K evaluations of f, with gradients.
Source: Shi, Zhou, Hwang, Titsias, Mackey, "Gradient Estimation with Discrete Stein Operators", 2022.
Shapes: ``...`` lanes and batch, V variables, K samples, L lanes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from estimators._binary import check_binary, pair_gradient
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
from estimators._ops import draw_many
from estimators._score import (
    leave_one_out,
    make_estimate,
    values_and_gradients,
    variable_log_probabilities,
)
from estimators._types import Estimate, Noise, Objective
from estimators._within import differentiates_within


@differentiates_within
def rodeo(
    logits: Tensor,
    objective: Objective,
    *,
    num_samples: int = 2,
    alpha: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
    learning_rate: float | Tensor = 1e-3,
    hidden_units: int = 16,
    state: State | None = None,
    generator: Noise = None,
) -> Estimate:
    """Estimate the gradient of E[f(D)] with Stein control variates on leave-one-out REINFORCE.

    Args:
        logits: ``(..., V, 2)``, float16, bfloat16, float32 or float64; -inf masks a category.
        objective: f, maps samples ``(K, ..., V, 2)`` to values ``(K, ...)``, differentiable in the samples.
        num_samples: K >= 2.
        alpha, beta: where they start, numbers or one per lane; a ``state`` overrides them.
        learning_rate: of Adam on alpha, beta and H, a number or one per lane; 0 keeps them fixed.
        hidden_units: width of H when it is made, at the first call.
        state: the state that the last call returned; ``None`` at the first.
        generator: source of noise, K uniform numbers per variable; at the first call, before them, those of
            H.

    Raises:
        TypeError: logits of another dtype; a parameter that is no number.
        ValueError: not two categories; ``num_samples`` below 2; values of a wrong shape, or not
            differentiable; a variable with all categories masked (eager mode on the CPU).
    """
    check_binary("rodeo", logits, alternatives="`rebar`, `muprop` or `rloo`")
    check_parameters(
        "rodeo",
        num_samples=num_samples,
        alpha=alpha,
        beta=beta,
        learning_rate=learning_rate,
        hidden_units=hidden_units,
    )
    p = variable_log_probabilities(logits).exp()
    if state is None:
        state = initial_state(logits, alpha=alpha, beta=beta, hidden_units=hidden_units, generator=generator)
    samples = draw_many(p, num_samples, generator)
    values, slopes = values_and_gradients(objective, samples, logits)
    slopes = torch.where(p > 0, slopes, 0.0)
    parameters = leaves(state, ("alpha", "beta", *NETWORK))
    with torch.enable_grad():
        gradient = _gradient(
            parameters, values.detach().to(p.dtype), slopes[..., 1] - slopes[..., 0], samples, p
        )
        tuned = is_trained(learning_rate)
        updated = minimise_squares(state, parameters, gradient, learning_rate) if tuned else state
    return make_estimate(
        logits, gradient, samples=samples, values=values, evaluations=num_samples, state=updated
    )


def initial_state(
    logits: Tensor,
    *,
    alpha: float | Tensor = 1.0,
    beta: float | Tensor = 1.0,
    hidden_units: int = 16,
    generator: Noise = None,
) -> dict[str, Tensor]:
    """``alpha`` and ``beta`` ``(L,)`` and the network H, which returns 0 at first, with their optimizer.

    Args:
        logits: ``(..., V, 2)``; only shape, dtype and device matter.
        alpha, beta: numbers or one per lane.
        hidden_units: width of H.
        generator: source of noise for the hidden weights.
    """
    weights = initial_network(logits, inputs=2, hidden_units=hidden_units, outputs=2, generator=generator)
    return trainable({"alpha": per_lane(alpha, logits), "beta": per_lane(beta, logits), **weights}, logits)


def _gradient(parameters: State, f: Tensor, slope: Tensor, samples: Tensor, p: Tensor) -> Tensor:
    """The estimate ``(..., V, 2)`` as a function of the parameters; ``slope`` is f' for the bits."""
    x = samples[..., 1]
    score, step = x - p[..., 1], 1 - 2 * x
    h, h_flipped = _controls(parameters, f, slope, x, p)
    flip = torch.where(x > 0, p[..., 0], p[..., 1]).unsqueeze(-1) / x.shape[-1]
    change = flip * (h_flipped - h.unsqueeze(-2))
    alpha, beta = (over_rows(parameters[name], p) for name in ("alpha", "beta"))
    stein = change[..., 0].sum(-1)
    stein_score = change[..., 1].sum(-1, keepdim=True) * score + flip[..., 0] * h_flipped[..., 1] * step
    signal = (f - leave_one_out(f + alpha * stein)).unsqueeze(-1)
    return pair_gradient((signal * score + beta.unsqueeze(-1) * stein_score).mean(0))


def _controls(parameters: State, f: Tensor, slope: Tensor, x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
    """Both outputs of H at x_k, ``(K, ..., 2)``, and after every flip, ``(K, ..., V, 2)``."""
    others = leave_one_out(slope)
    base = (others * x).sum(-1) - leave_one_out((slope * x).sum(-1))
    first = torch.cat([base.unsqueeze(-1), base.unsqueeze(-1) + others * (1 - 2 * x)], -1)
    inputs = torch.stack([first, leave_one_out(f).unsqueeze(-1).expand_as(first)], -1)
    output = network(parameters, inputs, p)
    return output[..., 0, :], output[..., 1:, :]
