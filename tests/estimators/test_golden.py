"""Every golden record that speaks of a registered estimator.

Deterministic values to 1e-9 (float64) and 2e-5 (float32) of the scale of the problem; statistics as in
``tests.support.statistics``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from estimators import EstimatorInfo, SeparableObjective, get, surrogate
from tests.estimators.goldens import PARAMETER_NAMES, Golden, cases, conditional, goldens, tensor
from tests.estimators.score_goldens import as_table, multilinear, score_logits
from tests.support.statistics import HEAVIEST_TAIL, assert_frequencies, assert_mean, assert_variance, assert_z

Count = Callable[[str], None]

PATH = goldens("path_cases")
DETERMINISTIC = [g for g in PATH if g.record["kind"] == "deterministic_given_D"]
RANDOM = [g for g in PATH if g.record["kind"] == "stochastic_given_D"]
STOCHASTIC = [g for g in RANDOM if "cond_m4" in g.record]
RELEASED = [g for g in RANDOM if "cond_m4" not in g.record]
NONLINEAR = goldens("path_nonlinear")
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-5}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
MANY = 200_000
NUMBERS = 3_000_000  # random numbers to spend on a case with many draws per sample


def hyper_parameters(info: EstimatorInfo, case: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
    """The record's parameters under the names of the registry."""
    named = {PARAMETER_NAMES[name]: value for name, value in record.get("params", {}).items()}
    return named if info.temperature_range is None else {"temperature": case["tau"], **named}


def sample_rows(golden: Golden, rows: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Outcome and gradient ``(rows, n)`` of independent samples of the case."""
    info = get(golden.id)
    logits = tensor(golden.case["theta"]).to(dtype).expand(rows, -1).clone().requires_grad_()
    generator = torch.Generator().manual_seed(0)
    z = info.load()(logits, generator=generator, **hyper_parameters(info, golden.case, golden.record))
    (z * tensor(golden.case["g"]).to(dtype)).sum().backward()
    assert logits.grad is not None
    return z.detach().argmax(-1), logits.grad


def affordable_rows(golden: Golden) -> int:
    """Fewer samples where each takes many draws: their averages are close to normal soon."""
    draws: int = golden.record.get("params", {}).get("K", 1)
    n: int = golden.case["n"]
    return MANY if draws == 1 else min(MANY, NUMBERS // (draws * n))


def check_outcomes(case: dict[str, Any], outcome: Tensor, gradient: Tensor) -> None:
    """Frequencies fit the probabilities, and nothing flows to impossible categories."""
    assert_frequencies(torch.bincount(outcome, minlength=case["n"]).double(), tensor(case["probs"]))
    masked = tensor(case["theta"]).isneginf()
    assert (gradient[:, masked] == 0).all()


@DTYPES
@pytest.mark.parametrize("golden", DETERMINISTIC, ids=str)
def test_gradient_of_every_outcome(golden: Golden, dtype: torch.dtype, count_golden: Count) -> None:
    outcome, gradient = sample_rows(golden, 20_000, dtype)
    expected = conditional(golden, "cond_grad")
    size = tensor(golden.case["g"]).abs().max().item()
    check_outcomes(golden.case, outcome, gradient)
    for i in outcome.unique():
        rows = gradient[outcome == i]
        assert (rows == rows[0]).all(), "rows of the same outcome differ"
        scale = max(1.0, size, size / golden.case["tau"], expected[i].abs().max().item())
        torch.testing.assert_close(rows[0].double(), expected[i], rtol=0, atol=TOLERANCE[dtype] * scale)
    count_golden(golden.id)


@DTYPES
@pytest.mark.parametrize("golden", STOCHASTIC, ids=str)
def test_mean_and_variance_given_outcome(golden: Golden, dtype: torch.dtype, count_golden: Count) -> None:
    outcome, gradient = sample_rows(golden, affordable_rows(golden), dtype)
    check_outcomes(golden.case, outcome, gradient)
    fields = ("cond_grad", "cond_grad_se", "cond_var", "cond_var_se", "cond_m4")
    table = {field: conditional(golden, field) for field in fields}
    z_mean, z_variance = [], []
    for i in outcome.unique().tolist():
        rows, golden_row = gradient[outcome == i].double(), {field: table[field][i] for field in fields}
        mean, variance, settled = _z_scores(rows, golden_row)
        z_mean.append(mean[settled])
        z_variance.append(variance[settled])
    assert_z(torch.cat(z_mean), "mean given the outcome")
    assert_z(torch.cat(z_variance), "variance given the outcome")
    count_golden(golden.id)


@pytest.mark.parametrize("golden", RELEASED, ids=str)
def test_released_variants(golden: Golden, count_golden: Count) -> None:
    """Their records hold mean and variance to about six digits, no errors and no fourth moment."""
    outcome, gradient = sample_rows(golden, affordable_rows(golden), torch.float64)
    mean, variance = conditional(golden, "cond_grad"), conditional(golden, "cond_var")
    for i in outcome.unique().tolist():
        rows = gradient[outcome == i]
        stderr = (variance[i] / len(rows) + (1e-5 * mean[i]).square()).sqrt()
        assert_z((rows.mean(0) - mean[i]) / stderr, "mean given the outcome")
        assert_variance(rows, variance[i], 0.01 * variance[i])
    count_golden(golden.id)


def _z_scores(rows: Tensor, golden: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Deviations of mean and variance, and the components light-tailed enough to judge them by."""
    count, variance = len(rows), golden["cond_var"]
    settled = (variance > 0) & (golden["cond_m4"] <= HEAVIEST_TAIL * count * variance.square())
    mean_stderr = (variance / count + golden["cond_grad_se"].square()).sqrt()
    spread = (golden["cond_m4"] - variance.square()) / count + golden["cond_var_se"].square()
    z_mean = (rows.mean(0) - golden["cond_grad"]) / mean_stderr
    ratio, relative = (rows - golden["cond_grad"]).square().mean(0) / variance, spread.sqrt() / variance
    # The cube root of a mean of squares is close to normal (Wilson and Hilferty, 1931).
    z_variance = (ratio.pow(1 / 3) - (1 - relative.square() / 9)) / (relative / 3)
    return z_mean, z_variance, settled


def smooth(case: dict[str, Any]) -> Callable[[Tensor], Tensor]:
    """f of a nonlinear case with the right values and gradients at the one-hot points."""
    values, gradients = tensor(case["f_values"]), tensor(case["f_grads"])

    def f(samples: Tensor) -> Tensor:
        outcome = samples.detach().argmax(-1)
        return (values[outcome] + (gradients[outcome] * (samples - samples.detach())).sum(-1)).sum(-1)

    return f


def draw_gradients(
    id: str, logits: Tensor, objective: Callable[[Tensor], Tensor], rows: int, **parameters: Any
) -> tuple[Tensor, Tensor | None]:
    """Gradients ``(rows, V, n)`` of independent estimates, and the sample behind each (the first of K)."""
    batch = logits.expand(rows, *logits.shape).clone().requires_grad_()
    estimate = surrogate(id, batch, objective, generator=torch.Generator().manual_seed(1), **parameters)
    estimate.surrogate.sum().backward()
    assert batch.grad is not None
    return batch.grad, None if estimate.samples is None else estimate.samples[0]


@pytest.mark.parametrize("golden", NONLINEAR, ids=str)
def test_mean_and_variance_of_nonlinear_objectives(golden: Golden, count_golden: Count) -> None:
    case, record, info = golden.case, golden.record, get(golden.id)
    expected = tensor(record["mean"]).unsqueeze(0)
    gradient, samples = draw_gradients(
        golden.id,
        tensor(case["theta"]).unsqueeze(0),
        smooth(case),
        MANY,
        **hyper_parameters(info, case, record),
    )
    assert_mean(gradient, expected, detects=0.03 * max(1.0, expected.abs().max().item()))
    if "variance" in record:
        assert samples is not None
        mean, variance = _enumerated(gradient, samples, tensor(case["theta"]).softmax(-1))
        torch.testing.assert_close(mean, expected, rtol=0, atol=1e-9)
        torch.testing.assert_close(variance, tensor(record["variance"]).unsqueeze(0), rtol=1e-9, atol=1e-9)
    count_golden(golden.id)


def _enumerated(gradient: Tensor, samples: Tensor, probabilities: Tensor) -> tuple[Tensor, Tensor]:
    """Exact mean and variance over outcomes: one gradient for each, found among the rows."""
    outcome = samples.argmax(-1).squeeze(-1)
    assert len(outcome.unique()) == len(probabilities), "an outcome was never drawn"
    each = torch.stack([gradient[outcome == i][0] for i in range(len(probabilities))])
    weights = probabilities[:, None, None]
    mean = (weights * each).sum(0)
    return mean, (weights * (each - mean).square()).sum(0)


def check_exact(case: dict[str, Any], logits: Tensor, objective: Any, value: float, gradient: Tensor) -> None:
    leaf = logits.clone().requires_grad_()
    estimate = surrogate("exact", leaf, objective)
    estimate.surrogate.backward()
    assert leaf.grad is not None
    scale = max(1.0, estimate.values.nan_to_num().abs().max().item())
    assert estimate.surrogate.item() == pytest.approx(value, abs=1e-9 * scale)
    torch.testing.assert_close(leaf.grad, gradient, rtol=0, atol=1e-9 * scale)


@pytest.mark.parametrize("case", cases("score_cases"), ids=lambda case: case["id"])
def test_exact_joint(case: dict[str, Any], count_golden: Count) -> None:
    gradient = as_table(case, case["exact_grad"])
    check_exact(case, score_logits(case), multilinear(case), case["exact_value"], gradient)
    count_golden("exact")


@pytest.mark.parametrize("case", cases("path_nonlinear"), ids=lambda case: case["id"])
def test_exact_nonlinear(case: dict[str, Any], count_golden: Count) -> None:
    logits, gradient = tensor(case["theta"]).unsqueeze(0), tensor(case["exact_grad"]).unsqueeze(0)
    f = smooth(case)
    separable = SeparableObjective(lambda samples: f(samples).unsqueeze(-1))
    check_exact(case, logits, f, case["exact_value"], gradient)
    check_exact(case, logits, separable, case["exact_value"], gradient)
    count_golden("exact")


@pytest.mark.parametrize("case", cases("path_cases"), ids=lambda case: case["id"])
def test_exact_linear(case: dict[str, Any], count_golden: Count) -> None:
    """Masked categories included: f is infinite there and must not matter."""
    g, p = tensor(case["g"]), tensor(case["probs"])
    f = SeparableObjective(lambda samples: torch.where(p > 0, g, torch.inf)[samples.argmax(-1)])
    gradient = tensor(case["linear_exact_grad"]).unsqueeze(0)
    for objective in (f, f.__call__):
        check_exact(case, tensor(case["theta"]).unsqueeze(0), objective, (p * g).sum().item(), gradient)
    count_golden("exact")
