"""Bias against the scale of f, and the order of accuracy that it shows.

    log bias = a + k log s + c s      fitted by weighted least squares; k is the order

c s is the next term of the expansion. Every point has its standard error and an error of the model, of
:data:`MODEL_ERROR`, so that enumerated points, which have none of the first, get an interval too.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from statistics import NormalDist

import torch
from torch import Tensor

from estimators.certification.moments import Moments
from estimators.certification.problems import Problem
from estimators.certification.record import FALSE_ALARM, Interval, Point
from estimators.certification.sampling import Effort, exact_gradient, sample
from estimators.certification.subject import LocalEstimator

MODEL_ERROR = 0.02
"""Relative error of a bias under the fitted model, at the scales that are used."""

FITTED_POINTS = 4
"""The fit takes this many points of smallest scale among those whose bias is known to a quarter."""

NEGLIGIBLE = 1e-10
"""A relative bias below this is rounding."""

Z95 = NormalDist().inv_cdf(0.975)


def z_limit(comparisons: int) -> float:
    """|z| that all of ``comparisons`` two-sided tests stay under, except with :data:`FALSE_ALARM`."""
    return -NormalDist().inv_cdf(FALSE_ALARM / (2 * max(1, comparisons)))


def measure(
    info: LocalEstimator,
    problem: Problem,
    scale: float,
    *,
    effort: Effort,
    seed: int,
    comparisons: int,
) -> Point:
    """Draw estimates of one problem at one scale, with noise that depends on the three and the seed only."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {problem.id} {scale}".encode()))
    moments = sample(info, problem, scale, effort=effort, generator=generator)
    exact = exact_gradient(problem.logits, problem.objective(scale)).flatten()
    return point(scale, moments, exact, comparisons=comparisons)


def point(scale: float, moments: Moments, exact: Tensor, *, comparisons: int) -> Point:
    """The figures of one problem at one scale.

    Args:
        scale: s.
        moments: from :func:`estimators.certification.sampling.sample`.
        exact: G ``(C,)``.
        comparisons: tests of a bias that share the false-alarm rate.
    """
    size, norm = len(exact), exact.norm().item()
    mean, covariance = moments.mean(), moments.covariance_of_mean()
    stderr = covariance.diagonal().clamp_min(0).sqrt()
    off, error = mean[:size] - exact, stderr[:size]
    bias = _length(off, covariance[:size, :size])
    seen = off.abs() > (z_limit(comparisons) * error).clamp_min(NEGLIGIBLE * norm)
    squares, squares_error = mean[size].item(), stderr[size].item()
    return Point(
        scale=scale,
        bias=_scaled(bias, 1 / norm),
        variance=_scaled(interval(squares - bias.value**2, squares_error, floor=0.0), 1 / norm**2),
        cosine=interval(mean[size + 1].item(), stderr[size + 1].item()),
        draws=int(moments.count.sum()),
        exact=not covariance.any(),
        detected=bool(seen.any()),
    )


def interval(value: float, stderr: float, *, floor: float = -math.inf) -> Interval:
    """95 % interval of a normal estimate of something that is at least ``floor``."""
    ends = (value, value - Z95 * stderr, value + Z95 * stderr)
    return Interval(**dict(zip(("value", "low", "high"), (max(floor, end) for end in ends), strict=True)))


def fit_order(points: Sequence[Point]) -> tuple[Interval, float] | None:
    """The order with its interval, and its standard error; ``None`` below three points of known bias."""
    used = [p for p in points if p.detected and _relative_error(p) <= 0.25][:FITTED_POINTS]
    if len(used) < 3:
        return None
    scales = torch.tensor([p.scale for p in used], dtype=torch.float64)
    terms = torch.stack([torch.ones_like(scales), scales.log(), scales], dim=-1)
    weight = torch.tensor(
        [1 / math.hypot(_relative_error(p), MODEL_ERROR) for p in used], dtype=torch.float64
    )
    log_bias = torch.tensor([math.log(p.bias.value) for p in used], dtype=torch.float64)
    left = terms * weight.unsqueeze(-1)
    covariance = torch.linalg.inv(left.T @ left)
    order = (covariance @ left.T @ (log_bias * weight))[1].item()
    stderr = covariance[1, 1].sqrt().item()
    return interval(order, stderr), stderr


def _relative_error(p: Point) -> float:
    return (p.bias.high - p.bias.low) / (2 * Z95 * p.bias.value) if p.bias.value > 0 else math.inf


def _length(off: Tensor, covariance: Tensor) -> Interval:
    """|bias|: what is left of the squared length when its noise is taken away; error along its direction."""
    squared = off.square().sum().item() - covariance.trace().item()
    direction = off / off.norm().clamp_min(1e-300)
    stderr = (direction @ covariance @ direction).clamp_min(0).sqrt().item()
    return interval(math.sqrt(max(0.0, squared)), stderr, floor=0.0)


def _scaled(of: Interval, factor: float) -> Interval:
    return Interval(value=of.value * factor, low=of.low * factor, high=of.high * factor)
