"""What must hold for every sample, whatever f: checks without a scale.

Each returns what was measured, and whether it is as it should be (``None``: the check does not apply).
Shapes: N rows, V variables, n categories.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from estimators._types import Estimate
from estimators.certification.bias import z_limit
from estimators.certification.cost import counted_evaluations
from estimators.certification.moments import joint_index, joint_probabilities
from estimators.certification.problems import Problem, problems_for
from estimators.certification.sampling import gradient, law
from estimators.certification.subject import LocalEstimator
from estimators.info import EstimatorInfo

ROWS = 20_000
FEW_ROWS = 1024
LARGE = 1e4
SUM_TOLERANCE = 1e-9
NEAR = 1e-4
"""A difference below this is rounding in one precision or another, and none of formula."""
SMALL = 1e-6
"""Sizes of gradients below this count as this: f has slopes of about 1, and their rounding remains."""
ROUNDED = "the size is that of rounding in float32: compute in the dtype of the logits"
PRECISIONS = (torch.float64, torch.float32)


@dataclass(frozen=True)
class Outcome:
    """Result of one check.

    Attributes:
        measured: in words, with the size of what is off.
        holds: whether the property is there; ``None`` where the check does not apply.
        advice: what would make it hold.
    """

    measured: str
    holds: bool | None
    advice: str = ""


Check = Callable[..., Outcome]


def one_hot_forward(info: LocalEstimator, seed: int) -> Outcome:
    """Samples consist of zeros and one 1, exactly, in both precisions, whatever the logits."""
    off = {}
    for dtype, rows in zip(PRECISIONS, (ROWS, FEW_ROWS), strict=True):
        generator = torch.Generator().manual_seed(seed)
        logits = torch.randn(rows, *_problem(info).logits.shape, dtype=dtype, generator=generator)
        samples = gradient(info.bound(), logits, _squares, generator)[1].samples
        if samples is None:
            return Outcome("draws no samples", None)
        nearest = torch.nn.functional.one_hot(samples.argmax(-1), samples.shape[-1])
        off[_name(dtype)] = (samples - nearest).abs().max().item()
    worst = max(off.values())
    if worst == 0:
        return Outcome("one-hot", True)
    if worst < NEAR:
        sizes = ", ".join(f"{size:.1e} in {name}" for name, size in off.items() if size)
        advice = "write d + (p - p.detach()), whose bracket is exactly 0; d + p - p.detach() rounds"
        return Outcome(f"one-hot up to {sizes}", False, advice)
    advice = "return d + (p - p.detach()), or claim to be relaxed (hard_forward=False, --like gumbel_softmax)"
    return Outcome(f"between the categories, up to {worst:.2g} from one-hot", False, advice)


def deterministic(info: LocalEstimator, seed: int) -> Outcome:
    """Other noise, same estimate."""
    off = _difference(*(_estimate(info, _problem(info).logits, s)[0] for s in (seed, seed + 1)))
    if not off:
        return Outcome("the same with other noise", True)
    return Outcome(
        f"another with other noise, by {off}", False, "declare deterministic=False, or draw nothing"
    )


def reproducible(info: LocalEstimator, seed: int) -> Outcome:
    """The same generator gives the same bits."""
    off = _difference(*(_estimate(info, _problem(info).logits, seed)[0] for _ in range(2)))
    if not off:
        return Outcome("same bits", True)
    advice = (
        "take all noise from generator, as torch.rand(shape, generator=generator) does, and keep no state"
    )
    return Outcome(f"differs under the same generator, by {off}", False, advice)


def takes_only_two(info: LocalEstimator, seed: int) -> Outcome:
    """Variables of three categories are refused with a ValueError."""
    logits = torch.zeros(4, 2, 3, dtype=torch.float64)
    try:
        gradient(info.bound(), logits, _squares, torch.Generator().manual_seed(seed))
    except ValueError:
        return Outcome("refuses n = 3", True)
    advice = "raise ValueError for any other number of categories, or declare binary_only=False"
    return Outcome("takes n = 3", False, advice)


def works_without_gradients_of_f(info: LocalEstimator, seed: int) -> Outcome:
    """Whether the estimate stays the same when f is cut off from its argument."""
    problem, advice = _problem(info), "declare needs_grad=True"
    f = problem.objective(1.0)
    try:
        cut = _gradient(info, problem.logits, lambda samples: f(samples.detach()), seed)
    except (ValueError, RuntimeError):
        return Outcome("needs the gradient of f", False, advice)
    off = _difference(_gradient(info, problem.logits, f, seed), cut)
    if not off:
        return Outcome("uses values of f only", True)
    return Outcome(f"needs the gradient of f: without it another estimate, by {off}", False, advice)


def evaluations(info: LocalEstimator, seed: int) -> Outcome:
    """Evaluations of f are as many as the estimate reports, and not below the declared minimum."""
    counted, reported = counted_evaluations(info, probe(info))
    least, measured = info.properties.min_samples, f"{counted} counted, {reported} reported"
    if counted != reported:
        return Outcome(measured, False, f"report evaluations={counted} for each row of the logits")
    return Outcome(measured, counted >= least, f"declare min_samples={counted}")


def sums_to_zero(info: LocalEstimator, seed: int) -> Outcome:
    """Gradients sum to zero over categories, as a constant added to the logits changes nothing."""
    grad = _estimate(info, _problem(info).logits, seed)[0]
    worst = (grad.sum(-1).abs().max() / grad.abs().max().clamp_min(SMALL)).item()
    advice = "multiply by J(pi): pi * (g - (pi * g).sum(-1, keepdim=True))"
    if worst < NEAR:
        advice = ROUNDED
    return Outcome(f"{worst:.1e} of the largest entry", worst < SUM_TOLERANCE, advice)


def masks(info: LocalEstimator, seed: int) -> Outcome:
    """A category of logit -inf is never drawn and gets exactly no gradient; others stay finite."""
    logits = _problem(info).logits.clone()
    logits[0, -1] = -torch.inf
    masked = logits.isneginf()
    grad, estimate = _estimate(info, logits, seed)
    samples = logits.new_zeros(0, *logits.shape) if estimate.samples is None else estimate.samples
    for what, found in (("samples", samples), ("gradient", grad)):
        if unusable := int((~found.isfinite()).sum()):
            advice = "0 times infinity is NaN: multiply by probabilities, which are 0 there, not by logits"
            return Outcome(f"NaN or infinite in {_of(unusable, found)} of the {what}", False, advice)
    drawn = samples[..., masked]
    if bool(drawn.any()):
        times = f"{int((drawn != 0).sum()):,} of {drawn.numel():,} samples, up to {drawn.abs().max():.1e}"
        return Outcome(f"drawn: not 0 in {times}", False, "draw from softmax(logits), which is 0 there")
    size = (grad[..., masked].abs().max() / grad.abs().max().clamp_min(1e-300)).item()
    advice = "multiply the gradient by the probability, which is exactly 0 there"
    measured = f"a gradient, up to {size:.1e} of the largest entry" if size else "exactly 0"
    return Outcome(measured, size == 0, advice)


def extreme_logits(info: LocalEstimator, seed: int) -> Outcome:
    """Logits of +-1e4 give finite gradients in both precisions."""
    logits = LARGE * _problem(info).logits.sign()
    logits[..., 0] *= 0.5
    for dtype in PRECISIONS:
        grad = _estimate(info, logits.to(dtype), seed)[0]
        if unusable := int((~grad.isfinite()).sum()):
            advice = "start from torch.log_softmax(logits, -1): exp(1e4) is infinite"
            return Outcome(f"not finite in {_of(unusable, grad)}, {_name(dtype)}", False, advice)
    return Outcome("finite", True)


def sampling(info: LocalEstimator, seed: int) -> Outcome:
    """A path estimator draws D from pi, whatever its temperature; others may couple their samples."""
    problem = _problem(info)
    if info.properties.kind != "path":
        return Outcome("no single sample", None)
    samples = _estimate(info, problem.logits, seed)[1].samples
    assert samples is not None  # a path estimator
    p = joint_probabilities(law(info, problem.logits))
    off = torch.bincount(joint_index(samples).flatten(), minlength=len(p)) / ROWS - p
    z = (off / (p * (1 - p) / ROWS).sqrt()).abs().max().item()
    measured = f"largest |z| of frequencies {z:.1f}, off by up to {off.abs().max():.1e}"
    advice = "draw D from softmax(logits); a temperature belongs in the gradient only"
    return Outcome(measured, z < z_limit(len(p)), advice)


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


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _of(count: int, among: Tensor) -> str:
    return f"{count:,} of {among.numel():,} entries"


def _difference(first: Tensor, second: Tensor) -> str:
    """How far two estimates of shape ``(N, V, n)`` are from each other; empty if their bits are the same."""
    if torch.equal(first, second):
        return ""
    rows = int((first != second).flatten(1).any(-1).sum())
    size = ((first - second).abs().max() / first.abs().max().clamp_min(1e-300)).item()
    return f"up to {size:.2g} of the largest entry in {rows:,} of {len(first):,} rows"


def _estimate(info: LocalEstimator, logits: Tensor, seed: int) -> tuple[Tensor, Estimate]:
    generator = torch.Generator().manual_seed(seed)
    return gradient(info.bound(), _rows(logits, ROWS), _problem(info).objective(1.0), generator)


def _gradient(info: LocalEstimator, logits: Tensor, f: Callable[[Tensor], Tensor], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return gradient(info.bound(), _rows(logits, 64), f, generator)[0]
