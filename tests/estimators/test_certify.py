"""A certificate passes what is right and fails what is wrong."""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from estimators import available, get, reinmax_cv
from estimators.certification.bias import fit_order, interval
from estimators.certification.definitions import definitions
from estimators.certification.moments import Moments, joint_index, joint_probabilities
from estimators.certification.problems import PROBLEMS
from estimators.certification.record import COMMON_PROBLEM, Certificate, Point
from estimators.certification.temperatures import TEMPERATURES
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


@pytest.mark.parametrize(
    ("function", "like", "name", "measured", "advice"),
    [
        (
            wrong.soft_forward,
            "st",
            "samples",
            r"one-hot up to [12]\.\de-16 in float64, [3-9]\.\de-08 in float32",
            "write d + (p - p.detach())",
        ),
        (
            wrong.leaks_into_masked_categories,
            "st",
            "masked categories",
            r"up to \d\.\de-17 ",
            "exactly 0 there",
        ),
        (
            wrong.draws_masked_categories,
            "st",
            "masked categories",
            r"drawn: not 0 in \d,\d{3} of 40,000 samples|drawn: not 0 in \d+ of 20,000",
            "draw from softmax(logits)",
        ),
        (
            wrong.nan_at_a_masked_category,
            "st",
            "masked categories",
            r"NaN or infinite in [\d,]+ of",
            "infinity",
        ),
        (
            wrong.noise_of_its_own,
            "st",
            "repeatable",
            r"by up to \d\.\d of the largest entry in 1\d,\d{3} of 20,000 rows",
            "generator=generator",
        ),
        (wrong.float32_inside, "st", "sum over categories", r"^\d\.\de-0[5-8] of the largest", "float32"),
        (wrong.float32_inside, "st", "definition", r"off by \d\.\de-0[5-8] of the largest", "float32"),
        (wrong.wrong_frequencies, "st", "frequencies", r"off by up to \d\.\de-02", "softmax(logits)"),
        (wrong.miscounted, "rloo", "evaluations", "4 counted, 3 reported", "evaluations=4"),
        (
            wrong.own_sample_in_baseline,
            "rloo",
            "bias",
            r"places, up to 0\.2\d of the gradient",
            "own baseline",
        ),
        (wrong.sign_error, "st", "direction", r"mean cosine from -", "the sign"),
        (wrong.sign_error, "st", "definition", r"^-1 times as large", "multiply the gradient by -1"),
        (
            wrong.missing_temperature,
            "st",
            "definition",
            r"^0\.5 times as large",
            "is a factor 1/tau missing?",
        ),
        (wrong.copy_of_st, "reinmax", "order", r"^1\.\d+ \(", "order=1"),
    ],
)
def test_a_contradiction_states_its_size_and_what_to_do(
    function: Callable[..., Any], like: str, name: str, measured: str, advice: str
) -> None:
    certificate = quick(describe(function, like=get(like)))
    (finding,) = [finding for finding in certificate.contradictions if finding.name == name]
    assert re.search(measured, finding.measured), finding
    assert advice in finding.advice, finding
    assert all(f.advice == "" for f in certificate.findings if f.verdict != "contradicts")


@pytest.mark.parametrize(
    ("changes", "name", "advice"),
    [
        ({"hard_forward": False}, "samples", "hard_forward=True"),
        ({"binary_only": True}, "categories", "binary_only=False"),
        ({"deterministic": True}, "noise", "deterministic=False"),
        ({"needs_grad": False}, "gradient of f", "needs_grad=True"),
        ({"sums_to_zero": False}, "sum over categories", "sums_to_zero=True"),
        ({"min_samples": 2}, "evaluations", "min_samples=1"),
    ],
)
def test_a_false_declaration_is_put_right(changes: dict[str, Any], name: str, advice: str) -> None:
    info = get("st")
    false = dataclasses.replace(info, properties=dataclasses.replace(info.properties, **changes))
    (finding,) = [finding for finding in quick(false).contradictions if finding.name == name]
    assert advice in finding.advice


def test_contradictions_come_first_and_everything_else_in_its_order() -> None:
    certificate = quick(describe(wrong.soft_forward, like=get("st")))
    names = [finding.name for finding in certificate.findings]
    assert names[0] == "samples"
    assert certificate.findings[0].verdict == "contradicts"
    assert names[1:] == [finding.name for finding in quick("st").findings if finding.name != "samples"]
    data = certificate.to_json()
    assert data["findings"][0]["name"] == "samples"
    mixed = data | {"findings": data["findings"][::-1]}
    assert Certificate.from_json(mixed).findings[0].name == "samples"


def test_json_both_ways() -> None:
    certificate = quick("st", temperature=1.3)
    text = json.dumps(certificate.to_json())
    assert Certificate.from_json(json.loads(text)) == certificate
    with pytest.raises(ValueError, match="certificate-1"):
        Certificate.from_json({"format": "certificate-0"})


def test_a_file_from_before_temperatures_and_advice_is_read_and_written_as_it_is() -> None:
    data = json.loads(json.dumps(quick("st").to_json()))
    del data["temperatures"]
    assert not any("advice" in finding for finding in data["findings"])
    old = Certificate.from_json(data)
    assert (old.temperatures, old.findings[0].advice) == ((), "")
    assert json.loads(json.dumps(old.to_json())) == data


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_figures_at_a_temperature_are_those_of_the_definition(temperature: float) -> None:
    """Straight-through, (1/tau) J(pi_tau) g at every outcome of three variables of two categories."""
    (problem,) = [problem for problem in PROBLEMS if problem.id == COMMON_PROBLEM]
    logits, f = problem.logits, problem.objective(1.0)
    p, p_tau = logits.softmax(-1), (logits / temperature).softmax(-1)
    outcomes = [torch.eye(2, dtype=torch.float64)[list(o)] for o in itertools.product(range(2), repeat=3)]
    weights = torch.stack([(p * d).sum(-1).prod() for d in outcomes])
    rows = torch.stack([_straight_through(d, p_tau, f) / temperature for d in outcomes])
    exact = torch.autograd.functional.jacobian(
        lambda x: sum(((x.softmax(-1) * d).sum(-1).prod() * f(d) for d in outcomes), start=x.new_zeros(())),
        logits,
    ).flatten()
    mean = weights @ rows
    variance = weights @ (rows - mean).square().sum(-1) / exact.square().sum()
    cosine = weights @ torch.cosine_similarity(rows, exact.expand_as(rows), dim=-1)
    (at,) = [at for at in quick("st").temperatures if at.temperature == temperature]
    assert at.point.exact
    assert at.point.bias.value == pytest.approx(((mean - exact).norm() / exact.norm()).item(), rel=1e-9)
    assert at.point.variance.value == pytest.approx(variance.item(), rel=1e-9)
    assert at.point.cosine.value == pytest.approx(cosine.item(), rel=1e-9)


def _straight_through(d: torch.Tensor, p: torch.Tensor, f: Callable[..., torch.Tensor]) -> torch.Tensor:
    leaf = d.clone().requires_grad_()
    (g,) = torch.autograd.grad(f(leaf), leaf)
    return (p * (g - (p * g).sum(-1, keepdim=True))).flatten()


@pytest.mark.parametrize("id", ["st", "reinmax", "stgs", "rebar"])
def test_temperatures_are_those_of_the_declared_range(id: str) -> None:
    declared = get(id).parameter("temperature")
    assert declared is not None
    current = declared.default
    assert isinstance(current, float)
    certificate = quick(id)
    measured = [at.temperature for at in certificate.temperatures]
    inside = [t for t in TEMPERATURES if declared.minimum <= t <= declared.maximum]
    assert measured == inside
    assert certificate.common == certificate.temperatures[measured.index(current)].point
    assert {finding.name: finding.verdict for finding in certificate.findings}[
        "temperatures"
    ] == "as declared"


def test_progress_names_every_temperature_and_only_rises() -> None:
    told: list[tuple[float, str]] = []
    quick("st", progress=lambda share, what: told.append((share, what)))
    assert [what for _, what in told if what.startswith("temperature")] == [
        f"temperature {temperature:g}" for temperature in TEMPERATURES
    ]
    assert [share for share, _ in told] == sorted(share for share, _ in told)


def test_without_a_temperature_there_are_none() -> None:
    certificate = quick("zgr")
    assert certificate.temperatures == ()
    assert "temperatures" not in {finding.name for finding in certificate.findings}
    assert "temperatures" not in certificate.to_json()


@pytest.mark.parametrize(
    ("function", "says"), [(wrong.not_a_number_when_cold, "NaN"), (wrong.refuses_cold, "too cold: 0.1")]
)
def test_a_temperature_that_it_does_not_take_is_named(function: Callable[..., Any], says: str) -> None:
    certificate = quick(describe(function, like=get("st")))
    assert contradicted(certificate) == {"temperatures"}
    finding = certificate.findings[0]
    assert finding.measured.startswith("at 0.1: ")
    assert "at 0.3: " in finding.measured
    assert says in finding.measured
    assert [at.temperature for at in certificate.temperatures] == [0.5, 0.7, 1.0, 1.5, 2.0, 5.0]
    assert json.loads(json.dumps(certificate.to_json(), allow_nan=False))


def test_an_order_is_declared_at_temperature_1() -> None:
    certificate = quick("st", temperature=0.6)
    assert certificate.passed, certificate.contradictions
    (order,) = [finding for finding in certificate.findings if finding.name == "order"]
    assert order.declared == "1, declared at temperature 1 only"
    assert order.verdict == "not declared"
    assert order.measured.endswith("at temperature 0.6")
    assert certificate.settings == "temperature=0.6"
    assert 0.6 in [at.temperature for at in certificate.temperatures]


@pytest.mark.parametrize(
    ("id", "parameters"),
    [
        ("decoupled_stgs", {"forward_temperature": 2.0}),
        ("gst", {"gap": 2.0}),
        ("gst", {"gap": 10.0}),
        ("st", {"temperature": 0.01}),
        ("reinmax_cv_released", {"eta": 0.3, "num_draws": 10}),
        ("rloo", {"num_samples": 3}),
    ],
)
def test_other_parameters_contradict_nothing(id: str, parameters: dict[str, Any]) -> None:
    certificate = quick(id, **parameters)
    assert certificate.passed, certificate.contradictions
    assert certificate.parameters == parameters


def test_parameters_of_ones_own_function() -> None:
    described = describe(wrong.scaled_to_a_gap)
    assert {p.name: (p.type, p.default) for p in described.parameters} == {
        "gap": (float, 1.0),
        "scale": (int, 1),
    }
    larger = quick(described, gap=2.0, scale=2)
    assert larger.common.variance.value == pytest.approx(16 * quick(described).common.variance.value)
    with pytest.raises(TypeError, match="no parameter gapp"):
        quick(described, gapp=2.0)
    claimed = describe(wrong.scaled_to_a_gap, like=get("gst"))
    assert [p.name for p in claimed.parameters] == ["temperature", "gap", "scale"]


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
