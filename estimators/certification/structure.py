"""What must hold for every sample, whatever f: checks without a scale.

Each returns what was measured, and whether it is as it should be (``None``: the check does not apply).
Shapes: N rows, V variables, n categories.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from estimators._adapter import bind
from estimators._types import Estimate
from estimators.certification.bias import z_limit
from estimators.certification.cost import counted_evaluations
from estimators.certification.moments import joint_index, joint_probabilities
from estimators.certification.problems import Problem, problems_for
from estimators.certification.sampling import gradient
from estimators.info import EstimatorInfo

ROWS = 20_000
LARGE = 1e4
SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class Outcome:
    """Result of one check."""

    measured: str
    holds: bool | None


Check = Callable[..., Outcome]


def one_hot_forward(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Samples consist of zeros and one 1, exactly."""
    samples = _estimate(info, _problem(info).logits, seed, parameters)[1].samples
    if samples is None:
        return Outcome("draws no samples", None)
    hard = bool((((samples == 0) | (samples == 1)).all(-1) & (samples.sum(-1) == 1)).all())
    return Outcome("one-hot" if hard else "between the categories", hard)


def deterministic(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Other noise, same estimate."""
    first, second = (_estimate(info, _problem(info).logits, s, parameters)[0] for s in (seed, seed + 1))
    same = torch.equal(first, second)
    return Outcome("the same with other noise" if same else "another with other noise", same)


def reproducible(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """The same generator gives the same bits."""
    first, second = (_estimate(info, _problem(info).logits, seed, parameters)[0] for _ in range(2))
    same = torch.equal(first, second)
    return Outcome("same bits" if same else "differs under the same generator", same)


def takes_only_two(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Variables of three categories are refused with a ValueError."""
    logits = torch.zeros(4, 2, 3, dtype=torch.float64)
    try:
        gradient(bind(info), logits, _squares, torch.Generator().manual_seed(seed), **parameters)
    except ValueError:
        return Outcome("refuses n = 3", True)
    return Outcome("takes n = 3", False)


def works_without_gradients_of_f(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Whether the estimate stays the same when f is cut off from its argument."""
    problem = _problem(info)
    f = problem.objective(1.0)
    try:
        cut = _gradient(info, problem.logits, lambda samples: f(samples.detach()), seed, parameters)
    except (ValueError, RuntimeError):
        return Outcome("needs the gradient of f", False)
    same = torch.equal(cut, _gradient(info, problem.logits, f, seed, parameters))
    return Outcome("uses values of f only" if same else "needs the gradient of f", same)


def evaluations(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Evaluations of f are as many as the estimate reports, and not below the declared minimum."""
    counted, reported = counted_evaluations(info, probe(info), **parameters)
    holds = counted == reported and counted >= info.properties.min_samples
    return Outcome(f"{counted} counted, {reported} reported", holds)


def sums_to_zero(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Gradients sum to zero over categories, as a constant added to the logits changes nothing."""
    grad = _estimate(info, _problem(info).logits, seed, parameters)[0]
    worst = (grad.sum(-1).abs().max() / grad.abs().max().clamp_min(1e-300)).item()
    return Outcome(f"{worst:.1e} of the largest entry", worst < SUM_TOLERANCE)


def masks(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """A category of logit -inf is never drawn and gets exactly no gradient; others stay finite."""
    logits = _problem(info).logits.clone()
    logits[0, -1] = -torch.inf
    masked = logits.isneginf()
    grad, estimate = _estimate(info, logits, seed, parameters)
    drawn = estimate.samples is not None and bool((estimate.samples[..., masked] != 0).any())
    clean = bool(grad.isfinite().all() and (grad[..., masked] == 0).all())
    return Outcome("drawn" if drawn else "exactly 0" if clean else "a gradient", clean and not drawn)


def extreme_logits(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """Logits of +-1e4 give finite gradients in both precisions."""
    logits = LARGE * _problem(info).logits.sign()
    logits[..., 0] *= 0.5
    grads = [
        _estimate(info, logits.to(dtype), seed, parameters)[0] for dtype in (torch.float32, torch.float64)
    ]
    finite = all(bool(grad.isfinite().all()) for grad in grads)
    return Outcome("finite" if finite else "not finite", finite)


def sampling(info: EstimatorInfo, seed: int, **parameters: Any) -> Outcome:
    """A path estimator draws D from pi, whatever its temperature; others may couple their samples."""
    problem = _problem(info)
    if info.properties.kind != "path":
        return Outcome("no single sample", None)
    samples = _estimate(info, problem.logits, seed, parameters)[1].samples
    assert samples is not None  # a path estimator
    p = joint_probabilities(problem.logits)
    counts = torch.bincount(joint_index(samples).flatten(), minlength=len(p))
    z = ((counts - ROWS * p) / (ROWS * p * (1 - p)).sqrt()).abs().max().item()
    return Outcome(f"largest |z| of frequencies {z:.1f}", z < z_limit(len(p)))


def probe(info: EstimatorInfo) -> Tensor:
    """Logits on which evaluations are counted: two variables of three categories, or three of two."""
    return _rows(_problem(info).logits, 16)


def _problem(info: EstimatorInfo) -> Problem:
    return problems_for(info)[-1]


def _squares(samples: Tensor) -> Tensor:
    """An f for any shape."""
    return samples.square().sum((-1, -2))


def _rows(logits: Tensor, count: int) -> Tensor:
    return logits.expand(count, *logits.shape)


def _estimate(
    info: EstimatorInfo, logits: Tensor, seed: int, parameters: dict[str, Any]
) -> tuple[Tensor, Estimate]:
    generator = torch.Generator().manual_seed(seed)
    return gradient(bind(info), _rows(logits, ROWS), _problem(info).objective(1.0), generator, **parameters)


def _gradient(
    info: EstimatorInfo, logits: Tensor, f: Callable[[Tensor], Tensor], seed: int, parameters: dict[str, Any]
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return gradient(bind(info), _rows(logits, 64), f, generator, **parameters)[0]
