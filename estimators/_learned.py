"""State of estimators that learn: dictionaries of tensors, every one with a leading lane axis.

The lane axis is the first of the logits ``(lanes, ..., V, n)``; logits ``(V, n)`` are one lane. Nothing here
mixes lanes, so a lane's state can be stored, resumed and moved to another cohort on its own.

Shapes: L lanes, K samples, R rows of a lane (samples and batch together), F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from estimators._autograd import full_precision
from estimators._checks import working_dtype
from estimators._noise import uniform
from estimators._types import Noise

State = Mapping[str, Tensor]

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8


def lane_count(logits: Tensor) -> int:
    """L."""
    return logits.shape[0] if logits.dim() > 2 else 1


def zeros_by_lane(logits: Tensor) -> Tensor:
    """0 for every lane, ``(L,)``, of the type that logits are computed in."""
    like = logits.detach()
    return like.new_zeros(lane_count(logits), dtype=working_dtype(like.dtype))


def per_lane(value: float | Tensor, logits: Tensor) -> Tensor:
    """A number, or a lane parameter ``(L, 1, ..., 1)``, as ``(L,)``."""
    zeros = zeros_by_lane(logits)
    vector = value.detach().to(zeros).reshape(-1) if isinstance(value, Tensor) else zeros.new_tensor([value])
    return vector.expand(lane_count(logits)).clone()


def over_rows(vector: Tensor, logits: Tensor) -> Tensor:
    """``(L,)`` in a shape that broadcasts against values ``(K, ...)``."""
    return vector.reshape(-1, *[1] * (logits.dim() - 3)) if logits.dim() > 2 else vector.reshape(())


def by_lane(x: Tensor, logits: Tensor) -> Tensor:
    """``(K, ..., F)``, with the leading axes of the logits in the middle, as ``(L, R, F)``."""
    return x.movedim(0, 1).flatten(1, -2) if logits.dim() > 2 else x.flatten(0, -2).unsqueeze(0)


def as_samples(y: Tensor, shape: Sequence[int], logits: Tensor) -> Tensor:
    """The inverse of :func:`by_lane`: ``(L, R, F)`` to ``shape``, which is ``(K, ..., F)``."""
    if logits.dim() == 2:
        return y.reshape(tuple(shape))
    return y.reshape(shape[1], shape[0], *shape[2:]).movedim(0, 1)


def lane_rows(values: Tensor, logits: Tensor) -> Tensor:
    """Values ``(K, ...)`` as ``(L, R)``."""
    return by_lane(values.unsqueeze(-1), logits).squeeze(-1)


def moving_average(average: Tensor, values: Tensor, decay: Tensor, steps: Tensor) -> Tensor:
    """decay a + (1 - decay) mean(values) in every lane; the first mean itself at step 0.

    Args:
        average: ``(L,)``.
        values: ``(L, R)``; no rows leave the average as it is.
        decay, steps: ``(L,)``.
    """
    if values.shape[1] == 0:
        return average
    mean = values.mean(1)
    return torch.where(steps == 0, mean, decay * average + (1 - decay) * mean)


def trainable(parameters: State, logits: Tensor) -> dict[str, Tensor]:
    """A state of ``parameters``, each with the moments of Adam, and ``steps``, the updates done."""
    state = dict(parameters)
    for name, value in parameters.items():
        state[_first(name)] = torch.zeros_like(value)
        state[_second(name)] = torch.zeros_like(value)
    state["steps"] = zeros_by_lane(logits)
    return state


def leaves(state: State, names: Sequence[str]) -> dict[str, Tensor]:
    """Parameters of the state as tensors to differentiate by."""
    return {name: state[name].detach().requires_grad_() for name in names}


def minimise_squares(
    state: State, parameters: State, gradient: Tensor, learning_rate: float | Tensor
) -> dict[str, Tensor]:
    """One step of Adam on the mean over rows of |gradient estimate|^2.

    The mean of an unbiased estimate does not depend on the parameters of its control variates, so its mean
    square falls exactly as its variance does.

    Args:
        state: from :func:`trainable`.
        parameters: from :func:`leaves`.
        gradient: ``(..., V, n)``, a differentiable function of ``parameters``.
        learning_rate: a number or one per lane.
    """
    rows = max(1, gradient.shape[1:-2].numel())
    return minimise(state, parameters, gradient.square().sum() / rows, per_lane(learning_rate, gradient))


def minimise(state: State, parameters: State, loss: Tensor, learning_rate: Tensor) -> dict[str, Tensor]:
    """One step of Adam on a loss that is a sum over lanes, each with its own parameters.

    Source: Kingma and Ba, "Adam: A Method for Stochastic Optimization", 2015.
    """
    with full_precision(loss.device):
        gradients = torch.autograd.grad(loss, list(parameters.values()))
    steps = state["steps"] + 1
    updated = {**state, "steps": steps}
    for name, gradient in zip(parameters, gradients, strict=True):
        t, rate = (v.reshape(-1, *[1] * (gradient.dim() - 1)) for v in (steps, learning_rate))
        first = BETA_1 * state[_first(name)] + (1 - BETA_1) * gradient
        second = BETA_2 * state[_second(name)] + (1 - BETA_2) * gradient.square()
        size = (second / (1 - BETA_2**t)).sqrt() + EPSILON
        updated[name] = state[name] - rate * first / (1 - BETA_1**t) / size
        updated[_first(name)], updated[_second(name)] = first, second
    return updated


def is_trained(learning_rate: float | Tensor) -> bool:
    """Whether a step may change anything; a tensor's contents are not looked at."""
    return isinstance(learning_rate, Tensor) or learning_rate != 0


def _first(name: str) -> str:
    return f"{name}.first_moment"


def _second(name: str) -> str:
    return f"{name}.second_moment"


NETWORK = ("hidden.weight", "hidden.bias", "output.weight", "output.bias")
"""Names of the parameters of a network with one hidden layer of tanh units."""


def initial_network(
    logits: Tensor, *, inputs: int, hidden_units: int, outputs: int, generator: Noise
) -> dict[str, Tensor]:
    """Parameters of a network that returns 0: hidden weights uniform in +-1/sqrt(inputs), the rest 0."""
    like, lanes = zeros_by_lane(logits), lane_count(logits)
    shape = (lanes, hidden_units, inputs)
    u = uniform(shape, generator, dtype=like.dtype, device=like.device)
    sizes = ((lanes, hidden_units), (lanes, outputs, hidden_units), (lanes, outputs))
    zeros = (like.new_zeros(size) for size in sizes)
    return dict(zip(NETWORK, ((2 * u - 1) / max(1, inputs) ** 0.5, *zeros), strict=True))


def network(parameters: State, x: Tensor, logits: Tensor) -> Tensor:
    """Every lane's network on its rows: ``(K, ..., inputs)`` to ``(K, ..., outputs)``."""
    hidden_weight, hidden_bias, weight, bias = (parameters[name] for name in NETWORK)
    with full_precision(x.device):
        hidden = torch.baddbmm(hidden_bias.unsqueeze(1), by_lane(x, logits), hidden_weight.mT).tanh()
        output = torch.baddbmm(bias.unsqueeze(1), hidden, weight.mT)
    return as_samples(output, (*x.shape[:-1], output.shape[-1]), logits)
