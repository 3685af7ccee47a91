"""Independent estimates of one problem, as many as the precision asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from estimators._adapter import bind
from estimators._types import Estimate, Noise, Objective
from estimators.certification.moments import Moments, joint_index, joint_probabilities
from estimators.certification.problems import Problem
from estimators.certification.subject import LocalEstimator

Draw = Callable[..., Estimate]

ROWS = 4096
"""Rows of one call. Each is a lane of its own, so that learned states are as independent as the rows."""
STATEFUL_ROWS = 1024
WARM_UP = 8
"""Calls that train the state of a stateful estimator before the first that counts."""


@dataclass(frozen=True)
class Effort:
    """How far sampling goes.

    Attributes:
        stderr: standard error of the mean, relative to the exact gradient, that is enough.
        most: draws at which to stop all the same.
        most_stateful: likewise, for estimators that train a state at every call.
    """

    stderr: float = 0.002
    most: int = 2**17
    most_stateful: int = 2**14


def gradient(
    draw: Draw, logits: Tensor, objective: Objective, generator: Noise, **options: Any
) -> tuple[Tensor, Estimate]:
    """The gradient estimate for every row of ``logits``, and the estimate."""
    leaf = logits.detach().clone().requires_grad_()
    estimate = draw(leaf, objective, generator=generator, **options)
    estimate.surrogate.sum().backward()
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad, estimate


def law(info: LocalEstimator, logits: Tensor) -> Tensor:
    """Logits of pi, the distribution of D: flatter or steeper where a ``forward_temperature`` is set."""
    return logits / float(info.settings.get("forward_temperature", 1.0))


def exact_gradient(logits: Tensor, objective: Objective) -> Tensor:
    """G for logits ``(V, n)``."""
    return gradient(bind("exact"), logits, objective, None)[0]


def calls(
    info: LocalEstimator, logits: Tensor, objective: Objective, generator: Noise
) -> Iterator[tuple[Tensor, Estimate]]:
    """Gradients ``(N, V, n)`` of independent rows, call after call, the first ones of a state left out."""
    draw, state = info.bound(), None
    rows = logits.expand(STATEFUL_ROWS if info.stateful else ROWS, 1, *logits.shape)
    for number in range(2**30):
        options: dict[str, Any] = {"state": state} if info.stateful and state else {}
        grad, estimate = gradient(draw, rows, objective, generator, **options)
        state = estimate.state
        if not info.stateful or number >= WARM_UP:
            yield grad.squeeze(1), estimate


def sample(
    info: LocalEstimator, problem: Problem, scale: float, *, effort: Effort, generator: torch.Generator
) -> Moments:
    """Moments of the components of the estimate, its squared distance from G, and its cosine with G."""
    logits, objective = problem.logits, problem.objective(scale)
    exact = exact_gradient(logits, objective).flatten()
    stratified = info.properties.kind == "path"
    probability = joint_probabilities(law(info, logits)) if stratified else logits.new_ones(1)
    moments = Moments.empty(probability, torch.cat([exact, exact.new_zeros(2)]))
    for grad, estimate in calls(info, logits, objective, generator):
        stratum = torch.zeros(len(grad), dtype=torch.long)
        if stratified and estimate.samples is not None:
            stratum = joint_index(estimate.samples).flatten()
        moments = moments.add(_columns(grad.flatten(1), exact), stratum)
        most = effort.most_stateful if info.stateful else effort.most
        if moments.count.sum() >= min(most, _needed(moments, exact, effort.stderr)):
            break
    return moments if moments.complete else moments.pooled()


def _columns(grad: Tensor, exact: Tensor) -> Tensor:
    """Components, squared distance from G, cosine with G (0 for an estimate of 0)."""
    distance = (grad - exact).square().sum(-1)
    cosine = torch.cosine_similarity(grad, exact.expand_as(grad), dim=-1, eps=1e-30)
    return torch.cat([grad, distance.unsqueeze(-1), cosine.unsqueeze(-1)], dim=-1)


def _needed(moments: Moments, exact: Tensor, stderr: float) -> float:
    """Draws that bring the standard error down to what is enough, seen from those there are."""
    size = len(exact)
    known = moments if moments.complete else moments.pooled()
    variance = known.covariance_of_mean()[:size, :size].trace().clamp_min(0).item()
    excess = variance / (stderr * exact.norm().item()) ** 2
    return moments.count.sum().item() * excess if math.isfinite(excess) else math.inf
