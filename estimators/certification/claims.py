"""Declared properties against measured ones: the findings of a certificate."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from estimators.certification import structure
from estimators.certification.bias import Z95, z_limit
from estimators.certification.definitions import definitions
from estimators.certification.guard import NotAnEstimator
from estimators.certification.moments import Moments, joint_index
from estimators.certification.problems import PROBLEMS
from estimators.certification.record import Finding, Interval, ProblemResult, Verdict
from estimators.certification.sampling import gradient
from estimators.certification.structure import Outcome
from estimators.certification.subject import LocalEstimator

ORDER_TOLERANCE = 0.3
"""How far the order of a correct estimator may be from its declared order at the scales that are used."""

TEMPERATURES = (0.5, 1.0, 2.0)
MISSING_FACTOR = "is a factor 1/tau missing?"
DEFINITION_ROWS = 40_000
DEFINITION_TOLERANCE = 1e-7
"""Of the largest entry; the integrals of the definitions are known to about 1e-9."""


def bias_findings(info: LocalEstimator, problems: Sequence[ProblemResult]) -> Iterator[Finding]:
    """Unbiasedness, order of accuracy and direction."""
    points = [point for problem in problems for point in problem.points]
    seen = [point.bias.value for point in points if point.detected]
    declared = "unbiased" if info.properties.unbiased else "biased"
    if seen:
        measured = f"bias seen in {len(seen)} of {len(points)} places, up to {max(seen):.2g} of the gradient"
        advice = "keep a sample out of its own baseline, and use a state before it is updated"
        yield _finding("bias", declared, Outcome(measured, declared == "biased", advice))
    else:
        resolution = max(point.bias.high for point in points)
        verdict: Verdict = "as declared" if declared == "unbiased" else "not detectable"
        measured = f"no bias seen; at most {resolution:.2g} of the gradient"
        yield Finding(name="bias", declared=declared, measured=measured, verdict=verdict)
    yield _order(info, problems)
    yield _direction(info, [point.cosine for point in points])


def structure_findings(info: LocalEstimator, seed: int) -> Iterator[Finding]:
    """Every check of :mod:`estimators.certification.structure` that applies."""
    for name, text, flag, check in _checks(info):
        try:
            outcome = check(info, seed)
        except NotAnEstimator as error:
            yield _finding(name, text, Outcome(str(error), False))
            continue
        if outcome.holds is None:
            continue
        if flag and not getattr(info.properties, flag):
            outcome = Outcome(outcome.measured, not outcome.holds, f"declare {flag}=True")
        yield _finding(name, text, outcome)
    if not info.properties.needs_grad:
        outcome = structure.works_without_gradients_of_f(info, seed)
        yield _finding("gradient of f", "not used", outcome)


def _checks(info: LocalEstimator) -> tuple[tuple[str, str, str, structure.Check], ...]:
    """Name, declaration in words, the property that declares it or nothing where it must hold, and check."""
    declared = info.properties
    hard, noise = declared.hard_forward, not declared.deterministic
    categories = "two only" if declared.binary_only else "any number"
    sums = "0" if declared.sums_to_zero else "not 0"
    tempered = info.settings.get("forward_temperature")
    law = "drawn from pi" if tempered is None else f"drawn from softmax(logits / {tempered:g})"
    return (
        ("samples", "one-hot" if hard else "relaxed", "hard_forward", structure.one_hot_forward),
        ("frequencies", law, "", structure.sampling),
        ("noise", "random" if noise else "none", "deterministic", structure.deterministic),
        ("repeatable", "yes", "", structure.reproducible),
        ("categories", categories, "binary_only", structure.takes_only_two),
        ("evaluations", f"{info.cost}, at least {declared.min_samples}", "", structure.evaluations),
        ("sum over categories", sums, "sums_to_zero", structure.sums_to_zero),
        ("masked categories", "never drawn, gradient 0", "", structure.masks),
        ("logits of +-1e4", "finite", "", structure.extreme_logits),
    )


def definition_finding(info: LocalEstimator, seed: int) -> Finding | None:
    """The mean gradient given the outcome against the published definition, at several temperatures.

    Held against the definition of the estimator's id; for an unknown id, against all that it agrees with at
    temperature 1, of which one factor in place of another at other temperatures is a contradiction.
    """
    if info.properties.kind != "path":
        return None
    low, high = info.temperature_range or (1.0, 1.0)
    taus = [tau for tau in TEMPERATURES if low <= tau <= high]
    results = {tau: _compare(info, tau, seed) for tau in taus}
    if info.id not in definitions(2):
        return _resembles(results)
    wrong = [tau for tau in taus if not results[tau][info.id].holds]
    first = results[(wrong or taus)[0]][info.id]
    measured = f"{first.measured} at temperature {', '.join(f'{tau:g}' for tau in wrong or taus)}"
    advice = first.advice if 1.0 in wrong or not _scaled(first) else MISSING_FACTOR
    return _finding("definition", f"that of {info.id}", Outcome(measured, not wrong, advice))


def _resembles(results: dict[float, dict[str, Outcome]]) -> Finding | None:
    like = [id for id, outcome in results.get(1.0, {}).items() if outcome.holds]
    if not like:
        return None
    others = [outcomes for tau, outcomes in results.items() if tau != 1.0]
    if any(all(outcomes[id].holds for outcomes in others) for id in like):
        return _finding("definition", "none", Outcome(f"that of {like[0]}", True))
    scaled = sorted(outcomes[like[0]].measured for outcomes in others if _scaled(outcomes[like[0]]))
    if not scaled:
        return None
    text = f"{like[0]} at temperature 1, elsewhere {scaled[0]}"
    return _finding("definition", "none", Outcome(text, False, MISSING_FACTOR))


def _scaled(outcome: Outcome) -> bool:
    """Whether the estimate is the expected one but for a factor."""
    return "times" in outcome.measured


def _direction(info: LocalEstimator, cosines: Sequence[Interval]) -> Finding:
    """No mean cosine is below 0 by more than chance allows, at the defaults."""
    limit = z_limit(len(cosines)) / Z95  # half widths of a 95 % interval
    along = all(c.value + limit * (c.high - c.value) > 0 for c in cosines)
    worst, best = min(c.value for c in cosines), max(c.value for c in cosines)
    advice = "turn the sign of the gradient" if best < 0 else ""
    measured, declared = f"mean cosine from {worst:.2f}", "along the gradient"
    if info.settings and not along:
        declared += " at the defaults"
        return Finding(name="direction", declared=declared, measured=measured, verdict="not declared")
    return _finding("direction", declared, Outcome(measured, along, advice))


def _order(info: LocalEstimator, problems: Sequence[ProblemResult]) -> Finding:
    """The declared order holds for all f at temperature 1; on some problems it may be higher."""
    known = [p for p in problems if p.order is not None and p.order_stderr is not None]
    declared = info.properties.order
    measured = ", ".join(f"{p.order}" for p in known if p.order is not None) or "no bias at three scales"
    if declared is None:
        return Finding(name="order", declared="none", measured=measured, verdict="not declared")
    if info.temperature != 1.0:
        text = f"{declared}, declared at temperature 1 only"
        measured += f" at temperature {info.temperature:g}"
        return Finding(name="order", declared=text, measured=measured, verdict="not declared")
    limit = z_limit(len(problems))
    above = [p.order.value - declared for p in known if p.order is not None]
    reach = [limit * (p.order_stderr or 0.0) + ORDER_TOLERANCE for p in known]
    too_high = any(a < -r for a, r in zip(above, reach, strict=True))  # no better than its worst problem
    too_low = bool(known) and all(a > r for a, r in zip(above, reach, strict=True))
    if too_high or too_low:
        advice = f"correct the formula, or declare order={max(0, declared + round(min(above)))}"
        return _finding("order", str(declared), Outcome(measured, False, advice))
    # An order next to the declared one would be seen.
    near = any(limit * (p.order_stderr or 0.0) <= 1 - ORDER_TOLERANCE for p in known)
    verdict: Verdict = "as declared" if near else "not detectable"
    return Finding(name="order", declared=str(declared), measured=measured, verdict=verdict)


def _compare(info: LocalEstimator, tau: float, seed: int) -> dict[str, Outcome]:
    """E[h | D] for two and three categories against every definition that there is."""
    subject = info if info.temperature_range is None else info.at(tau)
    agree: dict[str, list[Outcome]] = {}
    for problem in PROBLEMS[:2]:
        theta = problem.logits[0]
        g = torch.linspace(-0.7, 1.1, len(theta), dtype=torch.float64).square() + theta
        means, errors = _conditional_means(subject, theta, g, seed)
        for id, definition in definitions(len(theta)).items():
            takes = inspect.signature(definition).parameters
            options = {name: value for name, value in info.settings.items() if name in takes}
            expected = torch.stack([definition(theta, i, tau, g, **options) for i in range(len(theta))])
            agree.setdefault(id, []).append(_agreement(means, errors, expected))
    return {id: min(outcomes, key=lambda o: bool(o.holds)) for id, outcomes in agree.items()}


def _conditional_means(info: LocalEstimator, theta: Tensor, g: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """E[h | D = e_i] and standard errors, ``(n, n)`` each, for f = <g, D>."""
    n = len(theta)
    grad, estimate = gradient(
        info.bound(),
        theta.expand(DEFINITION_ROWS, 1, n),
        lambda samples: (samples * g).sum((-1, -2)),
        torch.Generator().manual_seed(seed),
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
    size = expected.abs().max().clamp_min(structure.SMALL)
    limit = z_limit(10 * means.numel()) * errors + DEFINITION_TOLERANCE * size
    if bool(((means - expected).abs() <= limit).all()):
        return Outcome("agrees", True)
    factor = (means * expected).sum() / expected.square().sum()
    other = abs(factor.item() - 1) > 0.005  # or it would be written as 1
    spread = z_limit(10 * means.numel()) * (errors + DEFINITION_TOLERANCE * size)
    if other and bool(((means - factor * expected).abs() <= spread * max(1.0, abs(factor.item()))).all()):
        advice = f"multiply the gradient by {1 / factor.item():.3g}" if factor else ""
        return Outcome(f"{factor.item():.3g} times as large", False, advice)
    worst = ((means - expected).abs().max() / size).item()
    advice = structure.ROUNDED if worst < structure.NEAR else ""
    return Outcome(f"off by {worst:.2g} of the largest entry", False, advice)


def _finding(name: str, declared: str, outcome: Outcome) -> Finding:
    """As declared if the outcome holds, a contradiction with its advice otherwise."""
    verdict: Verdict = "as declared" if outcome.holds else "contradicts"
    advice = "" if outcome.holds else outcome.advice
    return Finding(name=name, declared=declared, measured=outcome.measured, verdict=verdict, advice=advice)
