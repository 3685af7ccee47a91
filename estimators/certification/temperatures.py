"""The figures of the common problem at several temperatures, and whether the estimator takes them all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from estimators.certification.bias import measure
from estimators.certification.guard import NotAnEstimator
from estimators.certification.problems import PROBLEMS
from estimators.certification.record import COMMON_PROBLEM, AtTemperature, Finding, Point, Verdict
from estimators.certification.sampling import Effort
from estimators.certification.subject import LocalEstimator
from estimators.info import EstimatorInfo, Parameter

TEMPERATURES = (0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 5.0)
"""Those inside the declared range are measured."""

LESS = 2
"""Draws end at this fraction of what other figures may take: low temperatures would take far longer."""


@dataclass(frozen=True)
class Sweep:
    """What was measured, and the temperatures at which it could not be, each with the reason."""

    points: tuple[AtTemperature, ...] = ()
    failed: tuple[tuple[float, str], ...] = ()

    def finding(self, info: EstimatorInfo) -> Finding | None:
        """Whether figures are finite in the declared range; ``None`` for estimators without a temperature."""
        declared = info.parameter("temperature")
        if declared is None:
            return None
        if not self.failed:
            text = ", ".join(f"{point.temperature:g}" for point in self.points)
            return _finding(declared, f"finite at {text}", "as declared")
        text = "; ".join(f"at {temperature:g}: {reason}" for temperature, reason in self.failed)
        advice = "compute with log_softmax(logits / temperature), or declare the range that it takes"
        return _finding(declared, text, "contradicts", advice)


def sweep(
    info: LocalEstimator, common: Point, *, effort: Effort, seed: int, tell: Callable[[float, str], None]
) -> Sweep:
    """Measure at :data:`TEMPERATURES`, and at the current one, at which the figures ``common`` are known.

    Args:
        info: the estimator.
        common: bias, variance and cosine at the current temperature.
        effort: of other figures; these take less.
        seed: of all noise.
        tell: called with the share that is done, and what comes next.
    """
    chosen = _chosen(info)
    points, failed = [], []
    for number, temperature in enumerate(chosen):
        tell(number / len(chosen), f"temperature {temperature:g}")
        known = temperature == info.temperature
        try:
            point = common if known else _measured(info.at(temperature), effort, seed, len(chosen))
        except NotAnEstimator as error:
            failed.append((temperature, str(error)))
            continue
        points.append(AtTemperature(temperature=temperature, point=point))
    return Sweep(tuple(points), tuple(failed))


def _chosen(info: LocalEstimator) -> list[float]:
    if info.temperature_range is None:
        return []
    low, high = info.temperature_range
    return sorted({info.temperature, *(value for value in TEMPERATURES if low <= value <= high)})


def _measured(info: LocalEstimator, effort: Effort, seed: int, temperatures: int) -> Point:
    """The common problem at scale 1.

    Raises:
        NotAnEstimator: a figure is not finite.
    """
    (problem,) = [problem for problem in PROBLEMS if problem.id == COMMON_PROBLEM]
    less = Effort(effort.stderr, effort.most // LESS, effort.most_stateful // LESS)
    comparisons = temperatures * problem.logits.numel()
    point = measure(info, problem, 1.0, effort=less, seed=seed, comparisons=comparisons)
    if not all(math.isfinite(of.value) for of in (point.bias, point.variance, point.cosine)):
        raise NotAnEstimator("the estimate has entries that are NaN or infinite")
    return point


def _finding(declared: Parameter, measured: str, verdict: Verdict, advice: str = "") -> Finding:
    return Finding(
        name="temperatures",
        declared=declared.range_text(),
        measured=measured,
        verdict=verdict,
        advice=advice,
    )
