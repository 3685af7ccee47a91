"""Declared properties against measured ones: the findings of a certificate."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from estimators._adapter import bind
from estimators.certification import structure
from estimators.certification.bias import Z95, z_limit
from estimators.certification.definitions import definitions
from estimators.certification.guard import NotAnEstimator
from estimators.certification.moments import Moments, joint_index
from estimators.certification.problems import PROBLEMS
from estimators.certification.record import Finding, Interval, ProblemResult, Verdict
from estimators.certification.sampling import gradient
from estimators.certification.structure import Outcome
from estimators.info import EstimatorInfo

ORDER_TOLERANCE = 0.3
"""How far the order of a correct estimator may be from its declared order at the scales that are used."""

TEMPERATURES = (0.5, 1.0, 2.0)
DEFINITION_ROWS = 40_000
DEFINITION_TOLERANCE = 1e-7
"""Of the largest entry; the integrals of the definitions are known to about 1e-9."""


def bias_findings(info: EstimatorInfo, problems: Sequence[ProblemResult]) -> Iterator[Finding]:
    """Unbiasedness, order of accuracy and direction."""
    points = [point for problem in problems for point in problem.points]
    detected = any(point.detected for point in points)
    resolution = max(point.bias.high for point in points)
    declared = "unbiased" if info.properties.unbiased else "biased"
    seen = "biased" if detected else "unbiased"
    text = f"bias seen in {sum(p.detected for p in points)} of {len(points)} places"
    measured = text if detected else f"no bias seen; at most {resolution:.2g} of the gradient"
    verdict: Verdict = "as declared" if seen == declared else "contradicts" if detected else "not detectable"
    yield Finding(name="bias", declared=declared, measured=measured, verdict=verdict)
    yield _order(info, problems)
    yield _direction([point.cosine for point in points])


def structure_findings(info: EstimatorInfo, seed: int, **parameters: Any) -> Iterator[Finding]:
    """Every check of :mod:`estimators.certification.structure` that applies."""
    declared = info.properties
    checks: tuple[tuple[str, str, bool, structure.Check], ...] = (
        (
            "samples",
            "one-hot" if declared.hard_forward else "relaxed",
            declared.hard_forward,
            structure.one_hot_forward,
        ),
        ("frequencies", "drawn from pi", True, structure.sampling),
        (
            "noise",
            "none" if declared.deterministic else "random",
            declared.deterministic,
            structure.deterministic,
        ),
        ("repeatable", "yes", True, structure.reproducible),
        (
            "categories",
            "two only" if declared.binary_only else "any number",
            declared.binary_only,
            structure.takes_only_two,
        ),
        ("evaluations", f"{info.cost}, at least {declared.min_samples}", True, structure.evaluations),
        (
            "sum over categories",
            "0" if declared.sums_to_zero else "not 0",
            declared.sums_to_zero,
            structure.sums_to_zero,
        ),
        ("masked categories", "never drawn, gradient 0", True, structure.masks),
        ("logits of +-1e4", "finite", True, structure.extreme_logits),
    )
    for name, text, expected, check in checks:
        try:
            outcome = check(info, seed, **parameters)
        except NotAnEstimator as error:
            yield _finding(name, text, str(error), False)
            continue
        if outcome.holds is not None:
            yield _finding(name, text, outcome.measured, outcome.holds == expected)
    if not declared.needs_grad:
        outcome = structure.works_without_gradients_of_f(info, seed, **parameters)
        yield _finding("gradient of f", "not used", outcome.measured, bool(outcome.holds))


def definition_finding(info: EstimatorInfo, seed: int, **parameters: Any) -> Finding | None:
    """The mean gradient given the outcome against the published definition, at several temperatures.

    Held against the definition of the estimator's id; for an unknown id, against all that it agrees with at
    temperature 1, of which one factor in place of another at other temperatures is a contradiction.
    """
    if info.properties.kind != "path":
        return None
    low, high = info.temperature_range or (1.0, 1.0)
    taus = [tau for tau in TEMPERATURES if low <= tau <= high]
    results = {tau: _compare(info, tau, seed, parameters) for tau in taus}
    if info.id in definitions(2):
        wrong = [f"{tau:g}" for tau in taus if not results[tau][info.id].holds]
        measured = results[float(wrong[0])][info.id].measured if wrong else "agrees"
        at = ", ".join(wrong) if wrong else ", ".join(f"{tau:g}" for tau in taus)
        return _finding("definition", f"that of {info.id}", f"{measured} at temperature {at}", not wrong)
    return _resembles(results)


def _resembles(results: dict[float, dict[str, Outcome]]) -> Finding | None:
    like = [id for id, outcome in results.get(1.0, {}).items() if outcome.holds]
    if not like:
        return None
    others = [outcomes for tau, outcomes in results.items() if tau != 1.0]
    if any(all(outcomes[id].holds for outcomes in others) for id in like):
        return _finding("definition", "none", f"that of {like[0]}", True)
    factors = {outcomes[like[0]].measured for outcomes in others if outcomes[like[0]].holds is False}
    scaled = sorted(text for text in factors if "times" in text)
    if not scaled:
        return None
    text = f"{like[0]} at temperature 1, elsewhere {scaled[0]}; is a factor 1/tau missing?"
    return _finding("definition", "none", text, False)


def _direction(cosines: Sequence[Interval]) -> Finding:
    """No mean cosine is below 0 by more than chance allows."""
    limit = z_limit(len(cosines)) / Z95  # half widths of a 95 % interval
    along = all(c.value + limit * (c.high - c.value) > 0 for c in cosines)
    worst = min(c.value for c in cosines)
    return _finding("direction", "along the gradient", f"mean cosine from {worst:.2f}", along)


def _order(info: EstimatorInfo, problems: Sequence[ProblemResult]) -> Finding:
    """The declared order holds for all f; on some problems, as with two categories, it may be higher."""
    known = [p for p in problems if p.order is not None and p.order_stderr is not None]
    declared = info.properties.order
    measured = ", ".join(f"{p.order}" for p in known if p.order is not None) or "no bias at three scales"
    if declared is None:
        return Finding(name="order", declared="none", measured=measured, verdict="not declared")
    limit = z_limit(len(problems))
    above = [p.order.value - declared for p in known if p.order is not None]
    reach = [limit * (p.order_stderr or 0.0) + ORDER_TOLERANCE for p in known]
    too_high = any(a < -r for a, r in zip(above, reach, strict=True))  # no better than its worst problem
    too_low = bool(known) and all(a > r for a, r in zip(above, reach, strict=True))
    near = [
        p for p in known if limit * (p.order_stderr or 0.0) <= 1 - ORDER_TOLERANCE
    ]  # k +- 1 would be seen
    verdict: Verdict = "contradicts" if too_high or too_low else "as declared"
    if verdict == "as declared" and not near:
        verdict = "not detectable"
    return Finding(name="order", declared=str(declared), measured=measured, verdict=verdict)


def _compare(info: EstimatorInfo, tau: float, seed: int, parameters: dict[str, Any]) -> dict[str, Outcome]:
    """E[h | D] for two and three categories against every definition that there is."""
    own = dict(parameters)
    if info.temperature_range is not None:
        own["temperature"] = tau
    agree: dict[str, list[Outcome]] = {}
    for problem in PROBLEMS[:2]:
        theta = problem.logits[0]
        g = torch.linspace(-0.7, 1.1, len(theta), dtype=torch.float64).square() + theta
        means, errors = _conditional_means(info, theta, g, seed, own)
        for id, definition in definitions(len(theta)).items():
            expected = torch.stack([definition(theta, i, tau, g) for i in range(len(theta))])
            agree.setdefault(id, []).append(_agreement(means, errors, expected))
    return {id: min(outcomes, key=lambda o: bool(o.holds)) for id, outcomes in agree.items()}


def _conditional_means(
    info: EstimatorInfo, theta: Tensor, g: Tensor, seed: int, parameters: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """E[h | D = e_i] and standard errors, ``(n, n)`` each, for f = <g, D>."""
    n = len(theta)
    grad, estimate = gradient(
        bind(info),
        theta.expand(DEFINITION_ROWS, 1, n),
        lambda samples: (samples * g).sum((-1, -2)),
        torch.Generator().manual_seed(seed),
        **parameters,
    )
    assert estimate.samples is not None  # a path estimator
    outcome, rows = joint_index(estimate.samples).flatten(), grad.squeeze(1)
    each = [
        Moments.empty(theta.new_ones(1), rows[0]).add(x, torch.zeros(len(x)))
        for x in (rows[outcome == i] for i in range(n))
    ]
    means = torch.stack([m.mean() for m in each])
    errors = torch.stack([m.covariance_of_mean().diagonal().clamp_min(0).sqrt() for m in each])
    return means, errors


def _agreement(means: Tensor, errors: Tensor, expected: Tensor) -> Outcome:
    size = expected.abs().max()
    limit = z_limit(10 * means.numel()) * errors + DEFINITION_TOLERANCE * size
    if bool(((means - expected).abs() <= limit).all()):
        return Outcome("agrees", True)
    factor = (means * expected).sum() / expected.square().sum()
    spread = z_limit(10 * means.numel()) * (errors + DEFINITION_TOLERANCE * size)
    if bool(((means - factor * expected).abs() <= spread * max(1.0, abs(factor.item()))).all()):
        return Outcome(f"{factor.item():.3g} times as large", False)
    worst = ((means - expected).abs().max() / size).item()
    return Outcome(f"off by {worst:.2g} of the largest entry", False)


def _finding(name: str, declared: str, measured: str, holds: bool) -> Finding:
    verdict: Verdict = "as declared" if holds else "contradicts"
    return Finding(name=name, declared=declared, measured=measured, verdict=verdict)
