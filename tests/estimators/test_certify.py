"""A certificate passes what is right and fails what is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest
import torch

from estimators import available, get, reinmax_cv
from estimators.certification.bias import fit_order, interval
from estimators.certification.definitions import definitions
from estimators.certification.moments import Moments, joint_index, joint_probabilities
from estimators.certification.record import Certificate, Point
from estimators.certify import Effort, certify, describe
from tests.estimators import wrong

QUICK = Effort(stderr=0.01, most=2**14, most_stateful=2**12)


def quick(subject: Any, **options: Any) -> Certificate:
    """A certificate at less precision."""
    return certify(subject, effort=QUICK, **options)


def contradicted(certificate: Certificate) -> set[str]:
    """Names of the findings against it."""
    return {finding.name for finding in certificate.contradictions}


@pytest.mark.parametrize(("id", "order"), [("st", 1), ("reinmax", 2), ("stgs", 0)])
def test_order_of_accuracy(id: str, order: float) -> None:
    certificate = quick(id)
    assert certificate.passed, certificate.contradictions
    assert certificate.order is not None
    assert abs(certificate.order.value - order) < 0.15


@pytest.mark.parametrize("id", ["exact", "rloo", "reinforce_ema", "disarm"])
def test_no_bias_is_seen_where_there_is_none(id: str) -> None:
    certificate = quick(id)
    assert certificate.passed, certificate.contradictions
    assert not any(point.detected for problem in certificate.problems for point in problem.points)
    assert certificate.order is None


@pytest.mark.parametrize(("function", "like"), [(wrong.copy_of_st, "st"), (wrong.copy_of_rloo, "rloo")])
def test_a_correct_copy_passes(function: Callable[..., Any], like: str) -> None:
    for claim in (None, get(like)):
        certificate = quick(describe(function, like=claim))
        assert certificate.passed, certificate.contradictions


@pytest.mark.parametrize(
    ("function", "like", "names"),
    [
        (wrong.sign_error, "st", {"order", "direction", "definition"}),
        (wrong.missing_temperature, "st", {"definition"}),
        (wrong.own_sample_in_baseline, "rloo", {"bias"}),
        (wrong.soft_forward, "st", {"samples"}),
        (wrong.wrong_frequencies, "st", {"frequencies"}),
        (wrong.copy_of_st, "reinmax", {"order", "definition"}),
        (reinmax_cv, "reinmax_cv_released", {"definition"}),
        (wrong.nan_at_a_masked_category, "st", {"masked categories"}),
        (wrong.refuses_masks, "st", {"masked categories"}),
    ],
)
def test_a_wrong_estimator_fails(function: Callable[..., Any], like: str, names: set[str]) -> None:
    assert names <= contradicted(quick(describe(function, like=get(like))))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (wrong.sign_error, "direction"),
        (wrong.missing_temperature, "definition"),
        (wrong.own_sample_in_baseline, "bias"),
        (wrong.update_before_use, "bias"),
        (wrong.soft_forward, "samples"),
        (wrong.wrong_frequencies, "frequencies"),
    ],
)
def test_it_fails_without_a_claim_too(function: Callable[..., Any], name: str) -> None:
    assert name in contradicted(quick(function))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"unbiased": True}, "bias"),
        ({"order": 2}, "order"),
        ({"binary_only": True}, "categories"),
        ({"needs_grad": False}, "gradient of f"),
        ({"deterministic": True}, "noise"),
        ({"hard_forward": False}, "samples"),
        ({"min_samples": 2}, "evaluations"),
    ],
)
def test_a_false_declaration_is_contradicted(changes: dict[str, Any], name: str) -> None:
    info = get("st")
    false = dataclasses.replace(info, properties=dataclasses.replace(info.properties, **changes))
    assert name in contradicted(quick(false))


def test_json_both_ways() -> None:
    certificate = quick("st", temperature=1.3)
    text = json.dumps(certificate.to_json())
    assert Certificate.from_json(json.loads(text)) == certificate
    with pytest.raises(ValueError, match="certificate-1"):
        Certificate.from_json({"format": "certificate-0"})


def test_figures_do_not_depend_on_the_run() -> None:
    first, second = (quick("stgs") for _ in range(2))
    assert first.problems == second.problems
    assert first.findings == second.findings


def test_costs() -> None:
    for id, evaluations in (("st", 1), ("rloo", 4), ("exact", 9)):
        cost = quick(id).cost
        assert cost.evaluations == evaluations
        assert cost.peak_bytes > 0
        assert cost.seconds.low <= cost.seconds.value <= cost.seconds.high


def test_a_function_of_neither_kind() -> None:
    with pytest.raises(TypeError, match="path estimator"):
        describe(lambda: None)


def test_stratified_mean_of_a_function_of_the_outcome_is_exact() -> None:
    probability = torch.tensor([0.2, 0.8], dtype=torch.float64)
    rows = torch.tensor([[1.0], [3.0], [3.0], [1.0]], dtype=torch.float64)
    moments = Moments.empty(probability, torch.zeros(1, dtype=torch.float64))
    moments = moments.add(rows, torch.tensor([0, 1, 1, 0]))
    assert moments.mean().item() == pytest.approx(0.2 * 1 + 0.8 * 3)
    assert not moments.covariance_of_mean().any()
    assert moments.pooled().mean().item() == pytest.approx(2.0)
    assert moments.pooled().covariance_of_mean().item() == pytest.approx(1 / 3)  # variance 1 over N - 1


def test_joint_outcomes_are_numbered_alike() -> None:
    logits = torch.tensor([[0.3, -1.0, 0.2], [0.9, 0.1, -0.4]], dtype=torch.float64)
    p = logits.softmax(-1)
    one_hot = torch.eye(3, dtype=torch.float64)
    for first in range(3):
        for second in range(3):
            index = joint_index(torch.stack([one_hot[first], one_hot[second]]))
            assert joint_probabilities(logits)[index].item() == pytest.approx(
                (p[0, first] * p[1, second]).item()
            )


def _point(scale: float, bias: float, error: float = 0.0) -> Point:
    return Point(
        scale=scale,
        bias=interval(bias, error, floor=0.0),
        variance=interval(1.0, 0.0),
        cosine=interval(1.0, 0.0),
        draws=1,
        exact=error == 0,
        detected=True,
    )


def test_fit_of_a_known_power() -> None:
    scales = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
    fitted = fit_order([_point(s, 0.3 * s**2 * (1 + 0.4 * s)) for s in scales])
    assert fitted is not None
    assert fitted[0].low < 2 < fitted[0].high
    assert fitted[1] < 0.1
    assert fit_order([_point(s, s, error=s) for s in scales]) is None  # nothing is known of the bias
    assert fit_order([_point(s, s) for s in scales[:2]]) is None


def test_definitions_average_to_what_identities_say() -> None:
    """Linear f, temperature 1: those of order 1 or 2 have the mean J(pi) g, those with Gumbel noise not."""
    theta, g = (torch.tensor(x, dtype=torch.float64) for x in ([0.4, -0.7], [0.3, -1.1]))
    p = theta.softmax(-1)
    exact = p * (g - p @ g)
    for id, definition in definitions(2).items():
        mean = sum(p[i] * definition(theta, i, 1.0, g) for i in range(2))
        assert isinstance(mean, torch.Tensor)
        first_order = get(id).properties.order is not None
        assert torch.allclose(mean, exact, atol=1e-12) == first_order, id


def test_every_path_estimator_has_a_definition() -> None:
    path = {id for id in available() if get(id).properties.kind == "path"}
    assert path == definitions(2).keys()
