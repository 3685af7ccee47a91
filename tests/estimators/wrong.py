"""Estimators with one mistake each, and correct copies: what a certificate must tell apart."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from estimators import Estimate, Noise, Objective
from estimators._learned import State
from estimators._ops import draw, draw_many, jacobian_product, log_probabilities
from estimators._score import (
    evaluate,
    make_estimate,
    score_gradient,
    variable_log_probabilities,
)


class _Surrogate(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, z: Tensor, p: Tensor, factor: float) -> Tensor:
        ctx.save_for_backward(p)
        ctx.factor = factor
        return z.clone()

    @staticmethod
    def backward(ctx: Any, *g: Tensor) -> tuple[Tensor, None, None, None]:
        (p,) = ctx.saved_tensors
        return ctx.factor * jacobian_product(p, g[0]), None, None, None


def _straight_through(logits: Tensor, tau: float, factor: float, generator: Noise) -> Tensor:
    log_p = log_probabilities(logits)
    z: Tensor = _Surrogate.apply(logits, draw(log_p.exp(), generator), (log_p / tau).softmax(-1), factor)  # type: ignore[no-untyped-call]  # torch's own
    return z


def copy_of_st(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """As it should be."""
    return _straight_through(logits, temperature, 1 / temperature, generator)


def sign_error(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """-(1/tau) J(pi_tau) g."""
    return _straight_through(logits, temperature, -1 / temperature, generator)


def missing_temperature(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """J(pi_tau) g, without 1/tau: right at temperature 1."""
    return _straight_through(logits, temperature, 1.0, generator)


def copy_of_rloo(
    logits: Tensor, objective: Objective, *, num_samples: int = 4, generator: Noise = None
) -> Estimate:
    """Baseline of the other samples."""
    return _with_baseline(logits, objective, num_samples, generator, num_samples / (num_samples - 1))


def own_sample_in_baseline(
    logits: Tensor, objective: Objective, *, num_samples: int = 4, generator: Noise = None
) -> Estimate:
    """Baseline of all samples, which shrinks the mean by 1 - 1/K."""
    return _with_baseline(logits, objective, num_samples, generator, 1.0)


def _with_baseline(
    logits: Tensor, objective: Objective, num_samples: int, generator: Noise, factor: float
) -> Estimate:
    p = variable_log_probabilities(logits).exp()
    samples = draw_many(p, num_samples, generator)
    values = evaluate(objective, samples, logits)
    f = values.detach()
    gradient = factor * score_gradient(f - f.mean(0), samples, p)
    return make_estimate(logits, gradient, samples=samples, values=values, evaluations=num_samples)


def soft_forward(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """Adds and subtracts a detached copy, which leaves rounding in the one-hot value."""
    y = (logits / temperature).softmax(-1)
    return draw(log_probabilities(logits).exp(), generator) + y - y.detach()


def wrong_frequencies(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """Lets the temperature change the distribution of the samples, by a little at the default."""
    flatter = log_probabilities(logits) * 0.8
    z: Tensor = _Surrogate.apply(logits, draw(flatter.exp(), generator), log_probabilities(logits).exp(), 1.0)  # type: ignore[no-untyped-call]  # torch's own
    return z


def nan_at_a_masked_category(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """Minus infinity times zero in the backward pass."""
    p = (logits / temperature).softmax(-1)
    z = draw(log_probabilities(logits).exp(), generator)
    factor = 1 + 0 * logits.detach()
    return _Surrogate.apply(logits, z, p, 1 / temperature) * factor  # type: ignore[no-untyped-call, no-any-return]  # torch's own


def refuses_masks(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """As it should be, but for logits of minus infinity."""
    if not bool(logits.isfinite().all()):
        raise ArithmeticError("infinite logits")
    return copy_of_st(logits, temperature=temperature, generator=generator)


def leaks_into_masked_categories(
    logits: Tensor, *, temperature: float = 1.0, generator: Noise = None
) -> Tensor:
    """As it should be, but for a probability of rounding size where there is none."""
    p = (logits.clamp_min(-38) / temperature).softmax(-1)
    z = draw(log_probabilities(logits).exp(), generator)
    return _Surrogate.apply(logits, z, p, 1 / temperature)  # type: ignore[no-untyped-call, no-any-return]  # torch's own


def draws_masked_categories(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """As it should be, but for a little probability everywhere."""
    return copy_of_st(logits.clamp_min(-3), temperature=temperature, generator=generator)


def noise_of_its_own(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """Does not look at the generator."""
    return copy_of_st(logits, temperature=temperature)


def float32_inside(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """Forgets the precision of the logits on its way back."""
    return copy_of_st(logits.float(), temperature=temperature, generator=generator).to(logits.dtype)


def not_a_number_when_cold(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """As it should be from temperature 0.4 on."""
    factor = 1.0 if temperature >= 0.4 else float("nan")
    return _straight_through(logits, temperature, factor / temperature, generator)


def refuses_cold(logits: Tensor, *, temperature: float = 1.0, generator: Noise = None) -> Tensor:
    """As it should be from temperature 0.4 on."""
    if temperature < 0.4:
        raise ValueError(f"too cold: {temperature:g}")
    return copy_of_st(logits, temperature=temperature, generator=generator)


def scaled_to_a_gap(
    logits: Tensor, *, gap: float = 1.0, seed: int = 3, scale: int = 1, generator: Noise = None
) -> Tensor:
    """Straight-through with parameters of its own, of which one has the name of an argument of certify."""
    return _straight_through(logits, 1.0, gap * scale, generator)


def miscounted(
    logits: Tensor, objective: Objective, *, num_samples: int = 4, generator: Noise = None
) -> Estimate:
    """Reports one evaluation too few."""
    estimate = copy_of_rloo(logits, objective, num_samples=num_samples, generator=generator)
    return dataclasses.replace(estimate, evaluations=estimate.evaluations - 1)


def update_before_use(
    logits: Tensor, objective: Objective, *, state: State | None = None, generator: Noise = None
) -> Estimate:
    """A moving average that has already seen the value it is subtracted from."""
    samples = draw_many(variable_log_probabilities(logits).exp(), 1, generator)
    values = evaluate(objective, samples, logits)
    f = values.detach()
    past = f[0] if state is None else state["baseline"].reshape(f[0].shape)
    baseline = 0.8 * past + 0.2 * f[0]
    gradient = score_gradient(f - baseline, samples, variable_log_probabilities(logits).exp())
    kept = {"baseline": baseline.flatten()}
    return make_estimate(logits, gradient, samples=samples, values=values, evaluations=1, state=kept)
