"""The certificate of an estimator: its declared properties, measured.

    from estimators.certify import certify

    certificate = certify("reinmax")
    certificate.passed, str(certificate.order)        # True, '1.99 (1.94 to 2.05)'

Bias, variance and cosine on small problems that can be enumerated, at several scales of f; the order of
accuracy; evaluations, time and memory; what must hold for every estimator. Deterministic but for the times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from estimators import registry
from estimators.certification import claims, cost, structure, temperatures
from estimators.certification.bias import fit_order, measure
from estimators.certification.guard import NotAnEstimator, guarded, rehearse
from estimators.certification.problems import EQUATIONS, Problem, problems_for, scales_for
from estimators.certification.record import Certificate, Finding, Interval, ProblemResult, common
from estimators.certification.sampling import Effort
from estimators.certification.subject import LocalEstimator, describe
from estimators.info import EstimatorInfo, Value

__all__ = ["Certificate", "Effort", "NotAnEstimator", "certify", "describe"]

FULL = Effort()

Progress = Callable[[float, str], None]
"""Called with the share that is done and what comes next."""


def certify(
    estimator: str | EstimatorInfo | Callable[..., Any],
    *,
    effort: Effort = FULL,
    seed: int = 0,
    progress: Progress | None = None,
    **parameters: Value,
) -> Certificate:
    """Measure an estimator on one thread of the CPU.

    Args:
        estimator: registry id, entry, or a function as :func:`describe` takes it.
        effort: how precisely to measure.
        seed: of all noise.
        progress: called as the measurement goes on.
        parameters: hyper-parameters other than their defaults. Declared properties hold for the defaults.

    Raises:
        KeyError: unknown id.
        TypeError: a parameter that the estimator does not have; a function of another signature.
        NotAnEstimator: the function raises, or returns what no estimate can be made of.
    """
    info = guarded(_entry(estimator), parameters)
    started = time.perf_counter()
    tell = progress or (lambda share, what: None)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rehearse(info, seed)
        problems = _problems(info, effort, seed, tell)
        swept = _sweep(info, problems, effort, seed, tell)
        tell(0.8, "properties")
        findings = _findings(info, problems, swept, seed)
        tell(0.9, "cost")
        evaluations, _ = cost.counted_evaluations(info, structure.probe(info))
        spent = cost.cost(info, evaluations)
    finally:
        torch.set_num_threads(threads)
    return Certificate(
        id=info.id,
        title=info.title,
        version=info.version,
        parameters=parameters,
        torch=torch.__version__.partition("+")[0],
        device="cpu",
        seed=seed,
        problems=problems,
        findings=findings,
        cost=spent,
        seconds=time.perf_counter() - started,
        temperatures=swept.points,
    )


def _entry(estimator: str | EstimatorInfo | Callable[..., Any]) -> EstimatorInfo:
    if isinstance(estimator, str):
        return registry.get(estimator)
    return estimator if isinstance(estimator, EstimatorInfo) else describe(estimator)


def _problems(info: LocalEstimator, effort: Effort, seed: int, tell: Progress) -> tuple[ProblemResult, ...]:
    problems = problems_for(info)
    results = []
    for number, problem in enumerate(problems):
        tell(0.6 * number / len(problems), f"bias on {problem.id}")
        results.append(_problem(info, problem, effort, seed, len(problems)))
    return tuple(results)


def _problem(
    info: LocalEstimator,
    problem: Problem,
    effort: Effort,
    seed: int,
    problems: int,
) -> ProblemResult:
    scales = scales_for(info)
    comparisons = problems * len(scales) * problem.logits.numel()
    points = tuple(
        measure(info, problem, scale, effort=effort, seed=seed, comparisons=comparisons) for scale in scales
    )
    order: tuple[Interval | None, float | None] = fit_order(points) or (None, None)
    return ProblemResult(
        problem=problem.id,
        objective=EQUATIONS[problem.family],
        variables=problem.variables,
        categories=problem.categories,
        points=points,
        order=order[0],
        order_stderr=order[1],
    )


def _sweep(
    info: LocalEstimator,
    problems: tuple[ProblemResult, ...],
    effort: Effort,
    seed: int,
    tell: Progress,
) -> temperatures.Sweep:
    return temperatures.sweep(
        info,
        common(problems),
        effort=effort,
        seed=seed,
        tell=lambda share, what: tell(0.6 + 0.2 * share, what),
    )


def _findings(
    info: LocalEstimator,
    problems: tuple[ProblemResult, ...],
    swept: temperatures.Sweep,
    seed: int,
) -> tuple[Finding, ...]:
    found = (
        *claims.bias_findings(info, problems),
        claims.definition_finding(info, seed),
        swept.finding(info),
        *claims.structure_findings(info, seed),
    )
    return tuple(finding for finding in found if finding is not None)
